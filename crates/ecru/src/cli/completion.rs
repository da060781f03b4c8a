//! `ecru completion`: what a shell completes after `ecru`, from the command line's own definition.

use clap_complete::Shell;

/// Prints a shell's completion: `source <(ecru completion bash)`.
#[derive(Debug, clap::Args)]
pub struct Completion {
    /// Whose syntax it has.
    #[arg(value_enum)]
    pub shell: Shell,
}

impl Completion {
    /// The script for the command line that `definition` describes.
    pub fn run(self, mut definition: clap::Command) -> Vec<u8> {
        let name = definition.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition, name, &mut script);
        script
    }
}
