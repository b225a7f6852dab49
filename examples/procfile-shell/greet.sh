#!/usr/bin/env bash
# Greets whoever is named.
set -euo pipefail

echo "Hello, $1, from a shell script"
