//! Writes what follows from the types: `crds/` for Kubernetes, `docs/reference.md` for people.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::create_dir_all(root.join("crds"))?;
    std::fs::write(root.join(vltava_crd::definition::FILE), vltava_crd::definition::yaml())?;
    std::fs::write(root.join("docs/reference.md"), vltava_crd::reference())
}
