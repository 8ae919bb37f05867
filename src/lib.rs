//! rserve
