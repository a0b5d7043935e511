//! Expressions over facts, in the Common Expression Language. They are compiled and their types checked when they are
//! loaded, so that a mistake is found by the operator and not by an applicant.
//!
//! An expression that needs a fact which a person does not have is false: no rule can be kept by what is not known. So is
//! one whose arithmetic has no result.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, Value, common::ast::Expr};

use super::facts::{FactKind, FactValue, Facts};

mod check;

/// The longest expression, in bytes: a bound on what one evaluation can cost.
pub const EXPRESSION_BYTES_MAX: usize = 1_000;

/// The functions and operators, built once for all evaluations. Without macros there is no loop.
static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

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
    /// Returns every mistake: the length, the syntax; if it can be parsed, unknown facts, operations on a wrong type,
    /// what is not allowed, another result than a yes or no.
    pub fn compile(
        source: &str,
        kinds: &BTreeMap<String, FactKind>,
    ) -> Result<Expression, Vec<ExpressionMistake>> {
        if source.trim().is_empty() {
            return Err(vec![ExpressionMistake::of_whole("is empty".to_owned())]);
        }
        if source.len() > EXPRESSION_BYTES_MAX {
            let text = format!("is longer than {EXPRESSION_BYTES_MAX} bytes");
            return Err(vec![ExpressionMistake::of_whole(text)]);
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
        let mistakes = check::check(&program, source, kinds);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Expression {
            source: source.to_owned(),
            program,
        })
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
}

impl ExpressionMistake {
    fn of_whole(text: String) -> ExpressionMistake {
        ExpressionMistake {
            line: 1,
            column: 0,
            text,
        }
    }

    /// Makes the mistake at a byte of the source.
    fn at(source: &str, start: usize, text: String) -> ExpressionMistake {
        let before = source.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ExpressionMistake {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text,
        }
    }
}

/// Says whether a fact can have this name: whether the name is an identifier of the language, and means nothing in it by
/// itself, as `int` does.
pub fn is_free_name(name: &str) -> bool {
    let nothing_known = Context::with_env(Arc::clone(&ENV));
    ENV.compile(name).is_ok_and(|program| {
        matches!(program.expression().expr, Expr::Ident(_))
            && program.execute(&nothing_known).is_err()
    })
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
    fn arithmetic_without_a_result_makes_an_expression_false() {
        for source in [
            "100 / age_years > 2",
            "!(100 / age_years > 2)",
            "100 % age_years == 1",
            "100 % age_years != 1",
            "age_years + 9223372036854775807 + 1 > 0",
            "!(age_years - 9223372036854775807 - 2 > 0)",
            "(age_years + 9223372036854775807) * 2 != 0",
            "-(age_years - 9223372036854775807 - 1) != 0",
            "age_years == 0 ? 100 / age_years != 1 : true",
        ] {
            let expression = Expression::compile(source, &kinds()).unwrap();

            assert!(!expression.holds(&person(0, "")), "{source}");
        }
        let guarded = Expression::compile("age_years == 0 || 100 / age_years > 2", &kinds());
        assert!(guarded.unwrap().holds(&person(0, "")));
    }

    #[test]
    fn a_fact_has_no_name_of_the_language() {
        for name in ["age_years", "listed_students", "all", "size"] {
            assert!(is_free_name(name), "{name}");
        }
        for name in [
            "in", "true", "null", "int", "string", "type", "while", "a.b", "", "1",
        ] {
            assert!(!is_free_name(name), "{name}");
        }
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
                "no_such_function(age_years)",
                1,
                "`no_such_function` is not allowed",
            ),
        ] {
            let mistakes = Expression::compile(source, &kinds()).unwrap_err();

            assert_eq!(mistakes[0].line, line, "{source}: {mistakes:?}");
            assert!(mistakes[0].text.contains(part), "{source}: {mistakes:?}");
        }
        let long = format!("age_years > {}", "0".repeat(EXPRESSION_BYTES_MAX));
        assert!(Expression::compile(&long, &kinds()).is_err());
    }
}
