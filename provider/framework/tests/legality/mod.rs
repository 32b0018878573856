//! Where core and we must agree: on answers by chance, and on a table of every law.

mod chance;
mod schemas;
mod stored;
mod table;
