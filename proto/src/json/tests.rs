//! The mapping against texts of an unmodified Mesos.

mod errors;
mod reading;
mod writing;
