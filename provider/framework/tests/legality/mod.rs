//! Where core and we must agree: on schemas, configurations and answers by chance.

mod chance;
