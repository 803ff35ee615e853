//! `localcluster image build|ls|rm`.

use std::path::Path;

use anyhow::Context as _;
use localcluster_kubelet::{ImageStore, image::BuildRequest};

use crate::{
    args::{ImageBuildArgs, ImageCommand},
    report,
    state::StateDir,
};

/// Opens the image store of a cluster.
///
/// # Errors
/// Its folders cannot be created.
pub fn store(state: &Path) -> anyhow::Result<ImageStore> {
    Ok(ImageStore::open(StateDir::open(state)?.path("images"))?)
}

/// Runs an image command.
///
/// # Errors
/// Those of the store, which name the image.
pub fn run(command: ImageCommand) -> anyhow::Result<()> {
    match command {
        ImageCommand::Build(args) => build(args),
        ImageCommand::Ls(args) => {
            let mut table = format!("{:<40} {:<19} SIZE\n", "IMAGE", "DIGEST");
            for image in store(&args.state_dir)?.list()? {
                let digest: String = image.digest.chars().take(19).collect();
                let size = megabytes(image.size());
                table += &format!("{:<40} {digest:<19} {size:.1} MB\n", image.name);
            }
            Ok(report::print(&table)?)
        }
        ImageCommand::Rm(args) => {
            let store = store(&args.state.state_dir)?;
            for name in &args.names {
                store.remove(name)?;
            }
            Ok(())
        }
    }
}

fn build(args: ImageBuildArgs) -> anyhow::Result<()> {
    let store = store(&args.state.state_dir)?;
    let path = args.path.map_or_else(|| default_path(&args.from), Ok)?;
    for tag in args.tags {
        let request = BuildRequest {
            name: tag,
            files: vec![(args.from.clone(), path.clone())],
            env: args.env.iter().cloned().collect(),
            entrypoint: args.entrypoint.clone(),
            ..BuildRequest::default()
        };
        let image = store.build(&request)?;
        report::print(&format!("{} {}\n", image.name, image.digest))?;
    }
    Ok(())
}

fn default_path(program: &Path) -> anyhow::Result<String> {
    let name = program.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| {
        format!(
            "cannot derive the path in the image from {}; set it with --path",
            program.display()
        )
    })?;
    Ok(format!("/usr/local/bin/{name}"))
}

#[expect(clippy::cast_precision_loss, reason = "printed with one decimal")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
