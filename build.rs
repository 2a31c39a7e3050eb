//! `sqlx::migrate!` reads the folder at compile time; cargo must know that a new file is a change.
fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
