//! Run bin/build of each buildpack in the group and collect what it left
