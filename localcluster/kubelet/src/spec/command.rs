//! Program and arguments of a container.

use k8s_openapi::api::core::v1::Container;

use super::{DEFAULT_PATH, env::Environment, expand};
use crate::image::Image;

/// Errors that prevent a container's program from running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The image has no such program. Programs of the host are never run.
    #[error(
        "exec: \"{program}\": executable file not found in image {image}, which contains {files}; \
         add it with `localcluster image build -t {image} --from …`"
    )]
    NotInImage {
        /// The requested program.
        program: String,
        /// Short name of the image.
        image: String,
        /// Paths of the image's files.
        files: String,
    },
}

/// A program of an image and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Path in the image.
    pub program: String,
    /// Arguments after the program's name.
    pub args: Vec<String>,
}

/// Resolves the container's command line. `command` replaces the image's entry point and its
/// arguments, `args` replaces only the arguments (Kubernetes: "Define a Command and Arguments for a
/// Container").
///
/// # Errors
/// Returns an error if the program is not in the image.
pub fn resolve_command(
    container: &Container,
    image: &Image,
    env: &Environment,
) -> Result<Command, ContainerError> {
    let given = |list: &Option<Vec<String>>| -> Option<Vec<String>> {
        let list = list.as_ref().filter(|list| !list.is_empty())?;
        let value = |name: &str| env.from_pod.get(name).map(String::as_str);
        Some(list.iter().map(|word| expand(word, value)).collect())
    };
    let words = match (given(&container.command), given(&container.args)) {
        (Some(command), args) => [command, args.unwrap_or_default()].concat(),
        (None, Some(args)) => [image.entrypoint.clone(), args].concat(),
        (None, None) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    };
    find_program(&words, container, image, env)
}

/// Finds the program of `words` (program and arguments) in the container's image.
pub(crate) fn find_program(
    words: &[String],
    container: &Container,
    image: &Image,
    env: &Environment,
) -> Result<Command, ContainerError> {
    let (program, args) = words
        .split_first()
        .map_or(("", &[][..]), |(program, args)| (program.as_str(), args));
    let path = env
        .all
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or(DEFAULT_PATH, |(_, path)| path);
    match image.find_program(program, path) {
        Some(found) => Ok(Command {
            program: found,
            args: args.to_vec(),
        }),
        None => Err(ContainerError::NotInImage {
            program: program.to_owned(),
            image: container
                .image
                .clone()
                .unwrap_or_else(|| image.name.clone()),
            files: image.files.keys().cloned().collect::<Vec<_>>().join(", "),
        }),
    }
}
