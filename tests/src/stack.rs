//! Where PostgreSQL and RabbitMQ are, and where the built binaries are: what a test takes from its surroundings.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

/// The addresses of the private stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// A database URL of a superuser.
    pub database_url: String,
    /// The broker's URL; its virtual host is replaced by one per cluster.
    pub broker_url: String,
    /// The broker's management API, with credentials.
    pub broker_management_url: String,
}

impl Stack {
    /// Finds the running stack: the environment first, then what `deploy/local/up` wrote.
    ///
    /// # Errors
    /// When none is running, with the command that starts one.
    pub fn find() -> Result<Stack, String> {
        let mut values = BTreeMap::new();
        for folder in [
            setting("BEKAL_LOCAL_DIR").map(PathBuf::from),
            Some(checkout().join("target/test-stack")),
            Some(checkout().join(".local")),
        ] {
            let text = folder.and_then(|folder| fs::read_to_string(folder.join("env")).ok());
            if let Some(text) = text {
                values = parse(&text);
                break;
            }
        }
        let mut take = |name: &str| {
            setting(name)
                .or_else(|| values.remove(name))
                .ok_or_else(|| {
                    format!("{name} is not set; run: eval \"$(deploy/local/up --fast)\"")
                })
        };
        Ok(Stack {
            database_url: take("DATABASE_URL")?,
            broker_url: take("BROKER_URL")?,
            broker_management_url: take("BROKER_MANAGEMENT_URL")?,
        })
    }
}

fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Reads a variable of the surroundings; the services themselves get a clean environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness is told by its caller where the stack is"
)]
pub fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the folder of the checkout.
pub fn checkout() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package has a folder above it")
        .to_owned()
}

/// Returns the folder of the built binaries, `target/<profile>`: the running program lies in it or in its `deps`.
pub fn binaries() -> PathBuf {
    let program = env::current_exe().expect("the running program has a path");
    let folder = program.parent().expect("a program lies in a folder");
    match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().expect("deps lies in target/<profile>"),
        Some(_) | None => folder,
    }
    .to_owned()
}

/// Returns the path of a built binary.
///
/// # Errors
/// When it has not been built, with the command that builds it.
pub fn binary(name: &str) -> Result<PathBuf, String> {
    let path = binaries().join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is not built; run: cargo build", path.display()))
    }
}
