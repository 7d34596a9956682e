//! rkeras.
