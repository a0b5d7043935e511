//! Courses, regions and vacancies are imported; people register and are verified.

use proto::identity::v1::person::State;
use tests::{people::Person, programme::ImportReport};

use super::{Member, Run};
use crate::{Fault, options::Input, stages::for_each};

/// What became of the files' rows.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    pub(crate) courses: ImportReport,
    pub(crate) regions: ImportReport,
    pub(crate) vacancies: ImportReport,
    /// Rows of the table of recipients that could not be used.
    pub(crate) left_out: Vec<String>,
}

impl Run<'_> {
    pub(super) async fn import(&mut self, input: Input) -> Result<Imports, Fault> {
        let programme = &self.programme;
        let broker = self.cluster.broker();
        let courses = self
            .stages
            .run(broker, "import courses", (0, "rows"), async |bar| {
                let report = programme.import_courses(input.courses).await?;
                bar.inc(report.row_count());
                Ok(report)
            })
            .await?;
        let regions = self
            .stages
            .run(broker, "import regions", (0, "rows"), async |bar| {
                let mut report = ImportReport::default();
                for source in input.region_codes {
                    report.merge(programme.import_regions(source).await?);
                }
                bar.inc(report.row_count());
                Ok(report)
            })
            .await?;
        let vacancies = self
            .stages
            .run(broker, "import vacancies", (0, "rows"), async |bar| {
                let report = programme.import_vacancies(input.vacancies).await?;
                bar.inc(report.row_count());
                Ok(report)
            })
            .await?;
        Ok(Imports {
            courses,
            regions,
            vacancies,
            left_out: input.regions.left_out,
        })
    }

    /// Opens an account for everybody, and submits what they say of themselves.
    pub(super) async fn register(&mut self) -> Result<Vec<Member>, Fault> {
        let people = self.options.people;
        let registered = (0..people).map(|index| self.cast.person(index).registered());
        self.cluster.registry().add_people(registered).await;
        let (programme, cast) = (&self.programme, &self.cast);
        let members = self
            .stages
            .run(
                self.cluster.broker(),
                "register",
                (people, "people"),
                async |bar| {
                    for_each(bar, 0..people, async |index| {
                        let person: Person = cast.person(index);
                        let account = programme.create_account(&person, "").await?;
                        programme.submit_identity(&account, &person).await?;
                        Ok((index, account))
                    })
                    .await
                },
            )
            .await?;
        self.cast.know(&members);
        Ok(members)
    }

    /// Waits for the registry's answer about everybody, and returns those whom it confirmed.
    pub(super) async fn verify(&mut self, members: &[Member]) -> Result<Vec<Member>, Fault> {
        let programme = &self.programme;
        let count = members.len() as u64;
        let answers = self
            .stages
            .run(
                self.cluster.broker(),
                "verify",
                (count, "people"),
                async |bar| {
                    for_each(bar, members, async |(index, account)| {
                        let person = programme.registry_answer(account).await;
                        let verified = person.state() == State::Verified;
                        Ok(verified.then(|| (*index, account.clone())))
                    })
                    .await
                },
            )
            .await?;
        Ok(answers.into_iter().flatten().collect())
    }
}
