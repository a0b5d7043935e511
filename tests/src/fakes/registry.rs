//! Starts the civil registry's fake and steers it.

use std::{path::Path, time::Duration};

use super::{Control, RegisteredPerson, RegistryBehaviour, RegistryStatistics};
use crate::{
    eventually::{check, eventually},
    keys::random_hex,
    ports::Port,
    process::Process,
};

/// A running registry.
#[derive(Debug)]
pub struct FakeRegistry {
    process: Process,
    port: Port,
    key: String,
    control: Control,
}

impl FakeRegistry {
    /// Starts a registry that knows nobody.
    pub async fn start(folder: &Path) -> FakeRegistry {
        let (port, key) = (Port::reserve(), random_hex());
        let arguments = ["--listen", &port.address().to_string(), "--key", &key];
        let process = Process::start("fake-registry", &arguments, &[], folder);
        let control = Control::new(format!("http://{}", port.address()));
        eventually(Duration::from_secs(10), "the registry answers", || async {
            check(
                control.answers("/control/statistics").await,
                || "it does not answer",
            )
        })
        .await;
        FakeRegistry {
            process,
            port,
            key,
            control,
        }
    }

    /// Returns its address, `http://host:port`.
    pub fn address(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Returns the key that callers present.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Registers people, thousands at a time.
    pub async fn add_people(&self, people: impl IntoIterator<Item = RegisteredPerson>) {
        let people: Vec<_> = people.into_iter().collect();
        for some in people.chunks(5_000) {
            self.control.post("/control/persons", some).await;
        }
    }

    /// Changes how it behaves from now on.
    pub async fn behave(&self, behaviour: &RegistryBehaviour) {
        self.control.post("/control/behaviour", behaviour).await;
    }

    /// Returns what it has been asked.
    pub async fn statistics(&self) -> RegistryStatistics {
        self.control.get("/control/statistics").await
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
