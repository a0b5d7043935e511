//! Expressions over facts, in the Common Expression Language. They are compiled and tried when they are loaded, so that
//! a mistake is found by the operator and not by an applicant.
//!
//! An expression that needs a fact which a person does not have is false: no rule can be kept by what is not known.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, Value};

use super::facts::{FactKind, FactValue, Facts};

/// The longest expression, in bytes: a bound on what one evaluation can cost.
pub const EXPRESSION_BYTES_MAX: usize = 1_000;

/// The functions and operators, built once for all evaluations.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled expression that is true or false of a person.
pub struct Expression {
    source: String,
    program: Program,
}

/// What is wrong with an expression, and where in it: line and column from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionMistake {
    /// The line in the expression.
    pub line: usize,
    /// The column in that line; 0 when it concerns the whole expression.
    pub column: usize,
    /// What is wrong.
    pub text: String,
}

/// The facts of one person, ready for any number of expressions.
pub struct FactContext(Context<'static, 'static>);

impl Expression {
    /// Compiles an expression over facts of these types.
    ///
    /// # Errors
    /// Returns every mistake: the length, the syntax, unknown facts, operations on a wrong type, another result than a
    /// yes or no.
    pub fn compile(
        source: &str,
        kinds: &BTreeMap<String, FactKind>,
    ) -> Result<Expression, Vec<ExpressionMistake>> {
        let whole = |text: String| {
            vec![ExpressionMistake {
                line: 1,
                column: 0,
                text,
            }]
        };
        if source.trim().is_empty() {
            return Err(whole("is empty".to_owned()));
        }
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(whole(format!(
                "is longer than {EXPRESSION_BYTES_MAX} bytes"
            )));
        }
        let program = ENV.compile(source).map_err(|errors| {
            let place = |position: isize| usize::try_from(position).unwrap_or_default();
            let mistake = |error: &cel::ParseError| ExpressionMistake {
                line: place(error.pos.0).max(1),
                column: place(error.pos.1),
                text: error.msg.clone(),
            };
            errors.errors.iter().map(mistake).collect::<Vec<_>>()
        })?;

        let unknown: Vec<ExpressionMistake> = unknown_variables(&program, source, kinds);
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let expression = Expression {
            source: source.to_owned(),
            program,
        };
        expression.try_out(kinds).map_err(whole)?;
        Ok(expression)
    }

    /// Says whether the expression is true of the person.
    pub fn holds(&self, facts: &FactContext) -> bool {
        matches!(self.program.execute(&facts.0), Ok(Value::Bool(true)))
    }

    /// Returns the text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the names of the facts in it.
    pub fn fact_names(&self) -> Vec<String> {
        let references = self.program.references();
        references
            .variables()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// Evaluates it over two people of opposite facts, which finds what the syntax does not show: a text compared with
    /// a number, a function that does not exist.
    fn try_out(&self, kinds: &BTreeMap<String, FactKind>) -> Result<(), String> {
        for positive in [true, false] {
            let mut facts = Facts::default();
            for (name, kind) in kinds {
                facts.insert(name, sample(*kind, positive));
            }
            match self.program.execute(&FactContext::new(&facts).0) {
                Ok(Value::Bool(_)) => {}
                Ok(_) => return Err("is not a yes or no".to_owned()),
                Err(error) => return Err(format!("cannot be evaluated: {error}")),
            }
        }
        Ok(())
    }
}

fn sample(kind: FactKind, positive: bool) -> FactValue {
    match kind {
        FactKind::Bool => FactValue::Bool(positive),
        FactKind::Int => FactValue::Int(if positive { 40 } else { 0 }),
        FactKind::Text => FactValue::Text(if positive { "X" } else { "" }.to_owned()),
    }
}

fn unknown_variables(
    program: &Program,
    source: &str,
    kinds: &BTreeMap<String, FactKind>,
) -> Vec<ExpressionMistake> {
    let references = program.references();
    let mut variables = references.variables();
    variables.sort_unstable();
    variables
        .into_iter()
        .filter(|name| !kinds.contains_key(*name))
        .map(|name| {
            let before = &source[..find_word(source, name).unwrap_or_default()];
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            ExpressionMistake {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                text: format!("`{name}` is not a fact of this scheme"),
            }
        })
        .collect()
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !text[..*at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

impl FactContext {
    /// Prepares a person's facts.
    pub fn new(facts: &Facts) -> FactContext {
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (name, value) in facts.iter() {
            match value {
                FactValue::Bool(value) => context.add_variable_from_value(name, *value),
                FactValue::Int(value) => context.add_variable_from_value(name, *value),
                FactValue::Text(value) => context.add_variable_from_value(name, value.as_str()),
            }
        }
        FactContext(context)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> BTreeMap<String, FactKind> {
        BTreeMap::from([
            ("age_years".to_owned(), FactKind::Int),
            ("occupation".to_owned(), FactKind::Text),
            ("deceased".to_owned(), FactKind::Bool),
        ])
    }

    fn person(age_years: i64, occupation: &str) -> FactContext {
        let mut facts = Facts::default();
        facts.insert("age_years", FactValue::Int(age_years));
        facts.insert("occupation", FactValue::Text(occupation.to_owned()));
        FactContext::new(&facts)
    }

    #[test]
    fn expressions_tell_people_apart() {
        let adult = Expression::compile("age_years >= 18 && age_years <= 64", &kinds()).unwrap();
        let free =
            Expression::compile("!(occupation in ['POLICE', 'MILITARY'])", &kinds()).unwrap();

        assert!(adult.holds(&person(18, "")) && adult.holds(&person(64, "")));
        assert!(!adult.holds(&person(17, "")) && !adult.holds(&person(65, "")));
        assert!(free.holds(&person(30, "FARMER")) && !free.holds(&person(30, "POLICE")));
    }

    #[test]
    fn a_missing_fact_makes_an_expression_false() {
        let alive = Expression::compile("!deceased", &kinds()).unwrap();

        assert!(!alive.holds(&person(30, "FARMER")));
    }

    #[test]
    fn mistakes_are_found_when_an_expression_is_loaded() {
        for (source, line, part) in [
            ("", 1, "is empty"),
            ("age_years >=", 1, ""),
            (
                "age_years > 1 &&\n  shoe_size > 40",
                2,
                "`shoe_size` is not a fact",
            ),
            ("age_years + 1", 1, "is not a yes or no"),
            (
                "age_years == 'x' || age_years > 'y'",
                1,
                "cannot be evaluated",
            ),
            ("no_such_function(age_years)", 1, ""),
        ] {
            let mistakes = Expression::compile(source, &kinds()).unwrap_err();

            assert_eq!(mistakes[0].line, line, "{source}: {mistakes:?}");
            assert!(mistakes[0].text.contains(part), "{source}: {mistakes:?}");
        }
        let long = format!("age_years > {}", "0".repeat(EXPRESSION_BYTES_MAX));
        assert!(Expression::compile(&long, &kinds()).is_err());
    }
}
