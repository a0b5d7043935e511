//! Whether two spellings are one name: the bank's and the registry's.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Says whether two names agree when case, accents, punctuation and repeated blanks are ignored.
///
/// An apostrophe joins what it stands between (`Nu'man` is `Numan`); any other punctuation separates like a blank
/// (`Siti-Nur` is `Siti Nur`, `Muh.Ali` is `Muh. Ali`). A name without a letter agrees with none.
pub fn names_agree(one: &str, other: &str) -> bool {
    let one = normalised(one);
    !one.is_empty() && one == normalised(other)
}

fn normalised(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    // Compatibility forms first, so that ligatures and full-width letters of a bank's system are plain ones.
    for letter in name.nfkd().filter(|letter| !is_combining_mark(*letter)) {
        if letter.is_alphanumeric() {
            text.extend(letter.to_lowercase());
        } else if !is_apostrophe(letter) && !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn is_apostrophe(letter: char) -> bool {
    matches!(letter, '\'' | '`' | '´' | '‘' | '’' | 'ʻ' | 'ʼ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_agree() {
        for (one, other) in [
            ("Siti Aminah", "SITI AMINAH"),
            ("Siti  Aminah ", " siti\taminah"),
            ("José Éros", "JOSE EROS"),
            ("Jose\u{301}", "josé"),
            ("Nu'man", "Numan"),
            ("Nu’man", "NU'MAN"),
            ("Siti-Nur Aminah", "Siti Nur Aminah"),
            ("Muh. Ali", "MUH ALI"),
            ("Ali, S.Pd.", "Ali S Pd"),
            ("ＡＬＩ", "Ali"),
            ("Sukarno", "SUKARNO"),
        ] {
            assert!(names_agree(one, other), "{one} / {other}");
        }
    }

    #[test]
    fn different_names_do_not_agree() {
        for (one, other) in [
            ("Siti Aminah", "Siti Aminahh"),
            ("Siti Aminah", "Aminah Siti"),
            ("Siti Aminah", "SitiAminah"),
            ("Siti", "Siti Aminah"),
            ("", ""),
            ("-", "."),
        ] {
            assert!(!names_agree(one, other), "{one} / {other}");
        }
    }
}
