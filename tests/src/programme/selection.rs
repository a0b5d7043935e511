//! A batch from its preparation to its award.

use std::{fs, io::Write, path::Path};

use aws_lc_rs::{digest, rand};
use proto::enrollment::v1::{
    self as pb, application_service_client::ApplicationServiceClient,
    batch_service_client::BatchServiceClient, scheme_service_client::SchemeServiceClient,
};
use tonic::Status;

use super::{Programme, patiently, request_id};
use crate::{accounts::Caller, cluster::Client, process::Service, regions::Region};

/// The trustees of every batch here.
const TRUSTEES: [Caller; 3] = [Caller::Trustee(1), Caller::Trustee(2), Caller::Trustee(3)];

/// What the trustees of one batch keep to themselves until it is frozen.
#[derive(Debug)]
pub struct TrusteeSecrets {
    secrets: Vec<(Caller, [u8; 32])>,
}

impl Programme {
    /// Loads a scheme from its file.
    ///
    /// # Errors
    /// When enrollment refuses the file.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub async fn import_scheme(&self, file: &Path) -> Result<pb::Scheme, Status> {
        let content = fs::read_to_string(file);
        let content = content.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let request = pb::ImportSchemeRequest {
            request_id: request_id(),
            file_name: file.display().to_string(),
            content,
        };
        let mut schemes = SchemeServiceClient::new(self.operator());
        Ok(schemes.import_scheme(request).await?.into_inner())
    }

    /// Makes a batch with three trustees and returns its name.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn create_batch(
        &self,
        batch_id: &str,
        scheme: &pb::Scheme,
        quota_plan: pb::QuotaPlan,
    ) -> Result<String, Status> {
        let request = pb::CreateBatchRequest {
            request_id: request_id(),
            batch_id: batch_id.to_owned(),
            batch: Some(pb::Batch {
                scheme: scheme.name.clone(),
                quota_plan: Some(quota_plan),
                trustees: TRUSTEES.map(trustee_name).to_vec(),
                ..pb::Batch::default()
            }),
        };
        let mut batches = BatchServiceClient::new(self.operator());
        Ok(batches.create_batch(request).await?.into_inner().name)
    }

    /// Opens a batch for applications.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn open_batch(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::OpenBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        let mut batches = BatchServiceClient::new(self.operator());
        Ok(batches.open_batch(request).await?.into_inner())
    }

    /// Applies for a batch. A refusal by a rule is an answer, no error.
    ///
    /// # Errors
    /// When enrollment refuses the call.
    pub async fn apply(&self, batch: &str, account: &str) -> Result<pb::Application, Status> {
        let request = pb::CreateApplicationRequest {
            request_id: request_id(),
            batch: batch.to_owned(),
            account: account.to_owned(),
        };
        let applications =
            ApplicationServiceClient::new(self.client(Service::Enrollment, Caller::Frontend));
        let call = || {
            let (mut applications, request) = (applications.clone(), request.clone());
            async move { applications.create_application(request).await }
        };
        patiently(call).await
    }

    /// Takes no more applications.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn close_batch(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::CloseBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        let mut batches = BatchServiceClient::new(self.operator());
        Ok(batches.close_batch(request).await?.into_inner())
    }

    /// Lets every trustee think of a secret and commit to it.
    ///
    /// # Errors
    /// When enrollment refuses.
    ///
    /// # Panics
    /// When the system gives no random bytes.
    pub async fn commit_randomness(&self, batch: &str) -> Result<TrusteeSecrets, Status> {
        let mut secrets = Vec::new();
        for trustee in TRUSTEES {
            let mut secret = [0; 32];
            rand::fill(&mut secret).expect("the system gives random bytes");
            let request = pb::CommitRandomnessRequest {
                request_id: request_id(),
                name: batch.to_owned(),
                trustee: trustee_name(trustee),
                commitment: commitment(batch, &trustee_name(trustee), &secret),
            };
            let mut batches = BatchServiceClient::new(self.client(Service::Enrollment, trustee));
            batches.commit_randomness(request).await?;
            secrets.push((trustee, secret));
        }
        Ok(TrusteeSecrets { secrets })
    }

    /// Fixes the entrants.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn freeze_batch(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::FreezeBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        let batches = BatchServiceClient::new(self.operator());
        let call = || {
            let (mut batches, request) = (batches.clone(), request.clone());
            async move { batches.freeze_batch(request).await }
        };
        patiently(call).await
    }

    /// Lets every trustee reveal.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn reveal_randomness(
        &self,
        batch: &str,
        secrets: &TrusteeSecrets,
    ) -> Result<(), Status> {
        for (trustee, secret) in &secrets.secrets {
            let request = pb::RevealRandomnessRequest {
                request_id: request_id(),
                name: batch.to_owned(),
                trustee: trustee_name(*trustee),
                secret: secret.to_vec(),
            };
            let mut batches = BatchServiceClient::new(self.client(Service::Enrollment, *trustee));
            batches.reveal_randomness(request).await?;
        }
        Ok(())
    }

    /// Draws the places.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn draw_batch(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::DrawBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        let batches = BatchServiceClient::new(self.operator());
        let call = || {
            let (mut batches, request) = (batches.clone(), request.clone());
            async move { batches.draw_batch(request).await }
        };
        patiently(call).await
    }

    /// Makes participants of the winners.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn award_batch(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::AwardBatchRequest {
            request_id: request_id(),
            name: batch.to_owned(),
        };
        let batches = BatchServiceClient::new(self.operator());
        let call = || {
            let (mut batches, request) = (batches.clone(), request.clone());
            async move { batches.award_batch(request).await }
        };
        patiently(call).await
    }

    /// Takes an open batch to its award in one go.
    ///
    /// # Errors
    /// When enrollment refuses a step.
    pub async fn select(&self, batch: &str) -> Result<pb::Batch, Status> {
        self.close_batch(batch).await?;
        let secrets = self.commit_randomness(batch).await?;
        self.freeze_batch(batch).await?;
        self.reveal_randomness(batch, &secrets).await?;
        self.draw_batch(batch).await?;
        self.award_batch(batch).await
    }

    /// Returns a batch with its funnel.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn batch(&self, batch: &str) -> Result<pb::Batch, Status> {
        let request = pb::GetBatchRequest {
            name: batch.to_owned(),
        };
        let mut batches = BatchServiceClient::new(self.operator());
        Ok(batches.get_batch(request).await?.into_inner())
    }

    /// Downloads the public bundle of a draw into a file.
    ///
    /// # Errors
    /// When enrollment refuses.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub async fn download_bundle(&self, batch: &str, file: &Path) -> Result<(), Status> {
        let request = pb::DownloadDrawBundleRequest {
            name: batch.to_owned(),
        };
        let mut batches = BatchServiceClient::new(self.operator());
        let mut pieces = batches.download_draw_bundle(request).await?.into_inner();
        let mut target = fs::File::create(file).expect("the bundle's file can be made");
        while let Some(piece) = pieces.message().await? {
            let written = target.write_all(&piece.content);
            written.expect("the bundle's file can be written");
        }
        Ok(())
    }

    fn operator(&self) -> Client {
        self.client(Service::Enrollment, Caller::Operator1)
    }
}

/// Returns a plan that shares places among the provinces in proportion to their people, and keeps some for people with
/// disabilities.
pub fn quota_plan(place_count: i64, reserved_count: i64, regions: &[Region]) -> pb::QuotaPlan {
    let mut weights = std::collections::BTreeMap::<&str, u64>::new();
    for region in regions {
        let province = region.code.split('.').next().unwrap_or(&region.code);
        *weights.entry(province).or_default() += region.weight;
    }
    let share = |(province, weight): (&str, u64)| pb::RegionShare {
        region: province.to_owned(),
        weight: i64::try_from(weight).expect("a country's people fit"),
        floor: 0,
    };
    let reserved = pb::ReservedGroup {
        name: "disability".to_owned(),
        place_count: reserved_count,
        expression: "disability".to_owned(),
    };
    pb::QuotaPlan {
        place_count,
        reserved_groups: Vec::from_iter((reserved_count > 0).then_some(reserved)),
        region_rule: pb::quota_plan::RegionRule::Proportional.into(),
        regions: weights.into_iter().map(share).collect(),
    }
}

fn trustee_name(trustee: Caller) -> String {
    format!("trustees/{}", trustee.id())
}

/// What a trustee publishes of a secret; `services/draw/README.md`, section 4.
fn commitment(batch: &str, trustee: &str, secret: &[u8; 32]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"bekal/reveal/1");
    for text in [batch, trustee] {
        let length = u8::try_from(text.len()).expect("a name has at most 200 bytes");
        context.update(&[length]);
        context.update(text.as_bytes());
    }
    context.update(secret);
    context.finish().as_ref().to_vec()
}
