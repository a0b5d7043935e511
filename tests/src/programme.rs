//! A programme as its callers run it: each step is a call of the public API by whoever makes it in the field.
//!
//! A step that a service may refuse returns the refusal. A step whose outcome comes later by itself is waited for. What
//! many people do at once, and what takes long, is done again with the same `request_id` when a peer is away or the service
//! sheds load, as every caller should.

use std::{collections::BTreeMap, error::Error, time::Duration};

use proto::r#type::v1::Money;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status, transport};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    accounts::Caller,
    cluster::{Client, Cluster},
    process::Service,
};

mod catalogue;
mod exclusions;
mod import;
mod learning;
mod money;
mod registration;
mod selection;
mod skills_week;
mod vacancies;

pub use exclusions::ExclusionList;
pub use import::{ImportReport, Source};
pub use learning::evidence;
pub use money::{award_cost, outside_of};
pub use selection::{TrusteeSecrets, quota_plan};

/// How long a caller goes on repeating a call that may be repeated, and waiting for an outcome.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Who calls whom in a programme.
const CALLS: &[(Service, Caller)] = &[
    (Service::Identity, Caller::Frontend),
    (Service::Identity, Caller::Operator1),
    (Service::Catalog, Caller::Operator1),
    (Service::Enrollment, Caller::Frontend),
    (Service::Enrollment, Caller::Operator1),
    (Service::Enrollment, Caller::Provider),
    (Service::Enrollment, Caller::Trustee(1)),
    (Service::Enrollment, Caller::Trustee(2)),
    (Service::Enrollment, Caller::Trustee(3)),
    (Service::Payout, Caller::Frontend),
    (Service::Payout, Caller::Operator1),
    (Service::Payout, Caller::Operator2),
    (Service::Jobs, Caller::Frontend),
    (Service::Jobs, Caller::Operator1),
    (Service::Jobs, Caller::Portal),
];

/// The callers of one cluster of all five services. Clones share their connections and tokens.
#[derive(Clone, Debug)]
pub struct Programme {
    clients: BTreeMap<(Service, Caller), Client>,
}

impl Programme {
    /// Logs everybody in.
    pub async fn of(cluster: &Cluster) -> Programme {
        let mut clients = BTreeMap::new();
        for (service, caller) in CALLS {
            let client = cluster.client(*service, *caller).await;
            clients.insert((*service, *caller), client);
        }
        Programme { clients }
    }

    fn client(&self, service: Service, caller: Caller) -> Client {
        self.clients[&(service, caller)].clone()
    }
}

/// Makes a call, and makes it again while the service asks for that or the outcome is unknown.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        let status = match call().await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        if !may_be_repeated(&status) || start.elapsed() > PATIENCE {
            return Err(status);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

fn may_be_repeated(status: &Status) -> bool {
    let overloaded = || reason_of(status).as_deref() == Some("OVERLOADED");
    // The connection broke: nobody said what became of the call.
    let is_cut = || {
        status
            .source()
            .is_some_and(<dyn Error>::is::<transport::Error>)
    };
    let again = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted];
    let is_overloaded = status.code() == Code::ResourceExhausted && overloaded();
    again.contains(&status.code()) || is_overloaded || is_cut()
}

/// Returns the reason in a refusal's `google.rpc.ErrorInfo`.
pub fn reason_of(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    Some(info.reason)
}

/// Returns an amount in rupiah.
pub fn rupiah(units: i64) -> Money {
    Money {
        currency_code: "IDR".to_owned(),
        units,
        nanos: 0,
    }
}

fn request_id() -> String {
    Uuid::new_v4().to_string()
}
