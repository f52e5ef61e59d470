//! Attacks for which there are servers of their own.
