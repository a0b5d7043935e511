//! Accounts: how somebody is reached and signs in.

use time::OffsetDateTime;
use uuid::Uuid;

use super::personal::Personal;

/// RFC 5321 limits a path to 256 octets with its brackets.
const EMAIL_BYTES_MAX: usize = 254;
const EMAIL_LOCAL_BYTES_MAX: usize = 64;

/// E.164: at most 15 digits with the country code; the shortest numbers in use have 7.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;

/// The longest text that is looked at as a login.
pub const LOGIN_BYTES_MAX: usize = EMAIL_BYTES_MAX;

/// An e-mail address in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Email(Personal<String>);

impl Email {
    /// Reads an address in any case; `None` when it has not the shape of one. Only ASCII, so that lower case is one
    /// spelling everywhere.
    pub fn parse(text: &str) -> Option<Email> {
        let (local, domain) = text.split_once('@')?;
        let is_local = !local.is_empty()
            && local.len() <= EMAIL_LOCAL_BYTES_MAX
            && local
                .split('.')
                .all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte));
        let is_domain = domain.contains('.') && domain.split('.').all(is_label);
        let is_email = text.len() <= EMAIL_BYTES_MAX && is_local && is_domain;
        is_email.then(|| Email(Personal::new(text.to_ascii_lowercase())))
    }

    /// Returns the address itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// `atext` of RFC 5322.
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A phone number in E.164, such as `+6281234567890`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phone(Personal<String>);

impl Phone {
    /// Reads a number; `None` when it is not in E.164.
    pub fn parse(text: &str) -> Option<Phone> {
        let digits = text.strip_prefix('+')?;
        let is_phone = PHONE_DIGITS.contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit());
        is_phone.then(|| Phone(Personal::new(text.to_owned())))
    }

    /// Returns the number itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A password as it was typed.
#[derive(Clone, Debug)]
pub struct Password(Personal<String>);

impl Password {
    /// Takes a password; `None` when it is too short or too long.
    pub fn parse(text: &str) -> Option<Password> {
        let is_password = PASSWORD_CHARS.contains(&text.chars().count());
        is_password.then(|| Password(Personal::new(text.to_owned())))
    }

    /// Returns the password itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// What an account signs in with.
#[derive(Clone, Debug)]
pub enum Login {
    /// The e-mail address.
    Email(Email),
    /// The phone number.
    Phone(Phone),
    /// Neither shape: nobody has this login.
    Unknown,
}

impl Login {
    /// Reads a login. What has no shape of one is no mistake of the caller's, it is an unknown login.
    pub fn parse(text: &str) -> Login {
        Email::parse(text)
            .map(Login::Email)
            .or_else(|| Phone::parse(text).map(Login::Phone))
            .unwrap_or(Login::Unknown)
    }
}

/// Whether an account can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// It can.
    Active,
    /// An operator has closed it.
    Blocked,
}

/// An account that is to be created.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The e-mail address.
    pub email: Email,
    /// The phone number.
    pub phone: Option<Phone>,
    /// The password's argon2id hash.
    pub password_hash: Option<String>,
}

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// The e-mail address.
    pub email: Personal<String>,
    /// The phone number.
    pub phone: Option<Personal<String>>,
    /// Whether it can be used.
    pub state: AccountState,
    /// When it was created.
    pub create_time: OffsetDateTime,
}

impl Account {
    /// Returns a new account as it stands after its creation.
    pub fn created(id: Uuid, new: &NewAccount, create_time: OffsetDateTime) -> Account {
        Account {
            id,
            email: Personal::new(new.email.expose().to_owned()),
            phone: new
                .phone
                .as_ref()
                .map(|phone| Personal::new(phone.expose().to_owned())),
            state: AccountState::Active,
            create_time,
        }
    }
}

/// Why an account cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateAccountRefusal {
    /// Another account has the e-mail address.
    #[error("another account has the e-mail address")]
    EmailTaken,
    /// Another account has the phone number.
    #[error("another account has the phone number")]
    PhoneTaken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_kept_in_lower_case() {
        let email = Email::parse("Siti.Aminah+kerja@Contoh.CO.ID").unwrap();

        assert_eq!(email.expose(), "siti.aminah+kerja@contoh.co.id");
    }

    #[test]
    fn what_is_no_email_is_refused() {
        let long_local = format!("{}@contoh.id", "a".repeat(65));
        let long_domain = format!("a@{}.id", "b".repeat(250));
        let long_label = format!("a@{}.id", "b".repeat(64));
        for text in [
            "",
            "siti",
            "@contoh.id",
            "siti@",
            "siti@contoh",
            "siti@.id",
            "siti@contoh..id",
            "siti@-contoh.id",
            "siti@contoh-.id",
            "si ti@contoh.id",
            "siti@con toh.id",
            "siti@@contoh.id",
            "siti@contoh.id\n",
            ".siti@contoh.id",
            "siti.@contoh.id",
            "si..ti@contoh.id",
            "sítí@contoh.id",
            "<siti@contoh.id>",
            &long_local,
            &long_domain,
            &long_label,
        ] {
            assert!(Email::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_phone_is_in_e164() {
        assert!(Phone::parse("+6281234567890").is_some());
        assert!(Phone::parse("+123456789012345").is_some());
        for text in [
            "",
            "+",
            "081234567890",
            "6281234567890",
            "+0812345678",
            "+62812-345",
            "+1234567890123456",
            "+123456",
        ] {
            assert!(Phone::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_password_is_counted_in_characters() {
        assert!(Password::parse("rahasia").is_none());
        assert!(Password::parse("rahasiaé").is_some());
        assert!(Password::parse(&"é".repeat(128)).is_some());
        assert!(Password::parse(&"é".repeat(129)).is_none());
    }

    #[test]
    fn a_login_of_no_shape_is_unknown() {
        assert!(matches!(Login::parse("A@b.id"), Login::Email(_)));
        assert!(matches!(Login::parse("+6281234567890"), Login::Phone(_)));
        assert!(matches!(Login::parse("siti"), Login::Unknown));
    }

    #[test]
    fn debug_shows_neither_address_nor_number() {
        let account = NewAccount {
            email: Email::parse("siti@contoh.id").unwrap(),
            phone: Phone::parse("+6281234567890"),
            password_hash: None,
        };

        let text = format!("{account:?} {:?}", Password::parse("rahasia sekali"));

        assert!(
            !text.contains("siti") && !text.contains("62812") && !text.contains("rahasia"),
            "{text}"
        );
    }
}
