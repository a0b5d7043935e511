//! What makes a vacancy fit an account, and how much each reason weighs.
//!
//! | reason | weight |
//! | --- | --- |
//! | a word that a verified certificate's course has in its title or category stands in the vacancy's title | 10 each |
//! | a keyword of the interests stands in the title, with all its words | 8 each |
//! | the vacancy lies in a region that the account seeks | 5 |
//!
//! A region is never a reason alone: who seeks all that a region has, searches it. Nothing is known here of sex, age,
//! disability or religion, so that none of it can weigh.

use std::collections::HashSet;

use super::{interests::Interests, region::RegionCode};

const CERTIFICATE_WORD_WEIGHT: i32 = 10;
const KEYWORD_WEIGHT: i32 = 8;
/// What a region that is sought adds to a vacancy that fits anyway.
pub const REGION_WEIGHT: i32 = 5;

/// Of an account's certificates, the newest ones count.
pub const CERTIFICATES_MAX: i64 = 20;
/// Words of certificates that are looked for at most.
const WORDS_MAX: usize = 60;

/// Words of course titles that name no skill: what courses call themselves, ranks, and small words of both languages.
/// The database's dictionary knows most of the small Indonesian ones; titles mix both languages.
#[rustfmt::skip]
const GENERAL_WORDS: &[&str] = &[
    "pelatihan", "kursus", "kelas", "belajar", "dasar", "lanjut", "lanjutan", "tingkat", "pemula", "menengah", "mahir",
    "menjadi", "jadi", "cara", "teknik", "panduan", "lengkap", "praktis", "langkah", "mudah", "cepat", "untuk", "bagi",
    "dan", "atau", "dengan", "yang", "di", "ke", "dari", "pada", "secara", "melalui", "sebagai", "dalam", "oleh",
    "sertifikasi", "kompetensi", "keterampilan", "keahlian", "kemampuan", "program", "pengantar", "pengenalan",
    "online", "daring", "luring", "umum", "lainnya", "kerja", "pekerjaan", "profesional", "handal", "sukses", "era",
    "staf", "staff", "karyawan", "pegawai", "tenaga", "senior", "junior", "magang",
    "course", "class", "training", "basic", "basics", "advanced", "beginner", "introduction", "fundamental",
    "fundamentals", "professional", "certification", "skill", "skills", "general", "other", "bootcamp",
    "the", "of", "and", "or", "for", "to", "in", "with", "an", "on", "at", "by", "from", "how", "your",
];

/// A certificate, as far as it tells a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The course's title.
    pub course_title: String,
    /// The course's category.
    pub course_category: String,
}

/// What is looked for in titles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// A word, or a keyword of several.
    pub text: String,
    /// Where it comes from.
    pub source: Source,
    /// What it weighs.
    pub weight: i32,
}

/// Where a term comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The certificate at this place in the list.
    Certificate(usize),
    /// The interests.
    Keyword,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Words of a verified certificate.
    Certificate,
    /// A keyword of the interests.
    Keyword,
    /// A region of the interests.
    Region,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its kind.
    pub kind: Kind,
    /// The words, the keyword, or the region's code.
    pub matched: String,
    /// Of a certificate, the course's title.
    pub course_title: String,
    /// What it adds to the score.
    pub weight: i32,
}

/// Returns what to look for. Of a word in several certificates, the first counts: give the newest first.
pub fn terms(certificates: &[Certificate], interests: &Interests) -> Vec<Term> {
    let mut seen = HashSet::new();
    let mut terms = Vec::new();
    for (place, certificate) in certificates.iter().enumerate() {
        let text = format!(
            "{} {}",
            certificate.course_title, certificate.course_category
        )
        .to_lowercase();
        let words = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| is_skill(word));
        for word in words {
            if terms.len() < WORDS_MAX && seen.insert(word.to_owned()) {
                terms.push(Term {
                    text: word.to_owned(),
                    source: Source::Certificate(place),
                    weight: CERTIFICATE_WORD_WEIGHT,
                });
            }
        }
    }
    terms.extend(interests.keywords.iter().map(|keyword| Term {
        text: keyword.clone(),
        source: Source::Keyword,
        weight: KEYWORD_WEIGHT,
    }));
    terms
}

fn is_skill(word: &str) -> bool {
    word.chars().count() >= 2
        && word.chars().any(char::is_alphabetic)
        && !GENERAL_WORDS.contains(&word)
}

/// Returns every reason why a vacancy fits, heaviest first, from the terms that stand in its title.
pub fn reasons(
    certificates: &[Certificate],
    interests: &Interests,
    matched: &[&Term],
    region: Option<&RegionCode>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (place, certificate) in certificates.iter().enumerate() {
        let words: Vec<&Term> = matched
            .iter()
            .copied()
            .filter(|term| term.source == Source::Certificate(place))
            .collect();
        if !words.is_empty() {
            reasons.push(Reason {
                kind: Kind::Certificate,
                matched: words
                    .iter()
                    .map(|term| term.text.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                course_title: certificate.course_title.clone(),
                weight: words.iter().map(|term| term.weight).sum(),
            });
        }
    }
    let keywords = matched.iter().filter(|term| term.source == Source::Keyword);
    reasons.extend(keywords.map(|term| Reason {
        kind: Kind::Keyword,
        matched: term.text.clone(),
        course_title: String::new(),
        weight: term.weight,
    }));
    if let Some(sought) = sought_region(interests, region)
        && !reasons.is_empty()
    {
        reasons.push(Reason {
            kind: Kind::Region,
            matched: sought.to_string(),
            course_title: String::new(),
            weight: REGION_WEIGHT,
        });
    }
    reasons.sort_by(|a, b| {
        b.weight
            .cmp(&a.weight)
            .then(a.kind.cmp(&b.kind))
            .then(a.matched.cmp(&b.matched))
    });
    reasons
}

/// Returns the finest region of the interests that this one lies in.
fn sought_region<'a>(
    interests: &'a Interests,
    region: Option<&RegionCode>,
) -> Option<&'a RegionCode> {
    let region = region?;
    interests
        .regions
        .iter()
        .filter(|sought| region.is_within(sought))
        .max_by_key(|sought| sought.depth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(course_title: &str, course_category: &str) -> Certificate {
        Certificate {
            course_title: course_title.to_owned(),
            course_category: course_category.to_owned(),
        }
    }

    fn interests(keywords: &[&str], regions: &[&str]) -> Interests {
        Interests {
            keywords: keywords
                .iter()
                .map(|keyword| (*keyword).to_owned())
                .collect(),
            regions: regions
                .iter()
                .map(|code| RegionCode::parse(code).unwrap())
                .collect(),
        }
    }

    #[test]
    fn only_words_that_name_a_skill_are_looked_for_each_once() {
        let certificates = [
            certificate("Kelas Dasar: Menjadi Pengembang Web (2024)", "Teknologi"),
            certificate("Web untuk Pemula", "Teknologi"),
        ];

        let terms = terms(&certificates, &interests(&["staf gudang"], &[]));

        let texts: Vec<(&str, Source)> = terms
            .iter()
            .map(|term| (term.text.as_str(), term.source))
            .collect();
        assert_eq!(
            texts,
            [
                ("pengembang", Source::Certificate(0)),
                ("web", Source::Certificate(0)),
                ("teknologi", Source::Certificate(0)),
                ("staf gudang", Source::Keyword),
            ]
        );
    }

    #[test]
    fn every_reason_is_given_heaviest_first() {
        let certificates = [certificate("Akuntansi Pajak", "Keuangan")];
        let interests = interests(&["akuntansi"], &["32", "32.73"]);
        let terms = terms(&certificates, &interests);
        let matched: Vec<&Term> = terms
            .iter()
            .filter(|term| term.text != "keuangan")
            .collect();

        let reasons = reasons(
            &certificates,
            &interests,
            &matched,
            RegionCode::parse("32.73").as_ref(),
        );

        let told: Vec<(Kind, &str, &str, i32)> = reasons
            .iter()
            .map(|reason| {
                (
                    reason.kind,
                    reason.matched.as_str(),
                    reason.course_title.as_str(),
                    reason.weight,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Certificate, "akuntansi, pajak", "Akuntansi Pajak", 20),
                (Kind::Keyword, "akuntansi", "", 8),
                (Kind::Region, "32.73", "", 5),
            ]
        );
    }

    #[test]
    fn a_region_alone_is_no_reason() {
        let interests = interests(&[], &["32"]);

        assert_eq!(
            reasons(&[], &interests, &[], RegionCode::parse("32.73").as_ref()),
            []
        );
    }
}
