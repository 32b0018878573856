//! The Image Factory of Talos Linux: <https://github.com/siderolabs/image-factory>.

pub mod schematic;
