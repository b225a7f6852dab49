#!/usr/bin/env bash
# Does one job.
set -euo pipefail

echo "job $1 done"
