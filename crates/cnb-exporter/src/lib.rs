//! Turn a finished build into an app image
