//! What an expression may say, decided on its parsed form and not by trying it: a branch that no try-out takes can be
//! wrong as well.
//!
//! Allowed are facts, literals of `bool`, `int` and `string`, lists of literals, and the operators and functions below.
//! There is nothing to repeat a step with, so that the number of parts bounds what an evaluation costs.

use std::collections::BTreeMap;

use cel::{
    Program,
    common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators as op},
};

use super::ExpressionMistake;
use crate::domain::facts::FactKind;

/// The most parts (facts, literals, operators, calls) of an expression.
const PARTS_MAX: usize = 250;

/// What an expression's part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Value(FactKind),
    List(FactKind),
}

/// Returns everything that is wrong with a parsed expression, in its order.
pub(super) fn check(
    program: &Program,
    source: &str,
    kinds: &BTreeMap<String, FactKind>,
) -> Vec<ExpressionMistake> {
    let mut checker = Checker {
        program,
        source,
        kinds,
        part_count: 0,
        mistakes: Vec::new(),
    };
    let whole = program.expression();
    let found = checker.type_of(whole);
    if found.is_some_and(|found| found != Type::Value(FactKind::Bool)) {
        checker.reject::<()>(whole, "is not a yes or no".to_owned());
    }
    if checker.part_count > PARTS_MAX {
        let text = format!("has more than {PARTS_MAX} parts");
        checker.mistakes = vec![ExpressionMistake::of_whole(text)];
    }
    checker.mistakes.sort_by_key(|m| (m.line, m.column));
    checker.mistakes
}

struct Checker<'a> {
    program: &'a Program,
    source: &'a str,
    kinds: &'a BTreeMap<String, FactKind>,
    part_count: usize,
    mistakes: Vec<ExpressionMistake>,
}

impl Checker<'_> {
    /// Returns the type of a part; `None` when it has none, which is then a mistake already.
    fn type_of(&mut self, part: &IdedExpr) -> Option<Type> {
        self.part_count += 1;
        if self.part_count > PARTS_MAX {
            return None;
        }
        match &part.expr {
            Expr::Ident(name) => match self.kinds.get(name) {
                Some(kind) => Some(Type::Value(*kind)),
                None => self.reject(part, format!("`{name}` is not a fact of this scheme")),
            },
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Some(Type::Value(FactKind::Bool)),
                LiteralValue::Int(_) => Some(Type::Value(FactKind::Int)),
                LiteralValue::String(_) => Some(Type::Value(FactKind::Text)),
                LiteralValue::Bytes(_)
                | LiteralValue::Double(_)
                | LiteralValue::Null
                | LiteralValue::UInt(_) => self.refuse(part, "this literal"),
            },
            Expr::List(list) => self.list(part, list),
            Expr::Call(call) => self.call(part, call),
            Expr::Select(select) => self.refuse(part, &format!("the field `{}`", select.field)),
            Expr::Comprehension(_) => self.refuse(part, "a loop"),
            Expr::Map(_) | Expr::Struct(_) => self.refuse(part, "`{}`"),
            Expr::Unspecified => self.refuse(part, "this"),
        }
    }

    fn list(&mut self, part: &IdedExpr, list: &ListExpr) -> Option<Type> {
        let mut kind = None;
        for element in &list.elements {
            if !matches!(element.expr, Expr::Literal(_)) {
                return self.refuse(element, "an element that is no literal");
            }
            let found = self.one_of(element, &[FactKind::Int, FactKind::Text])?;
            if *kind.get_or_insert(found) != found {
                return self.reject(element, "is of another type than those before".to_owned());
            }
        }
        match kind {
            Some(kind) => Some(Type::List(kind)),
            None => self.refuse(part, "an empty list"),
        }
    }

    fn call(&mut self, part: &IdedExpr, call: &CallExpr) -> Option<Type> {
        use FactKind::{Bool, Int, Text};
        let name = call.func_name.as_str();
        let operands: Vec<&IdedExpr> = call.target.iter().map(|t| &**t).chain(&call.args).collect();
        let kind = match (name, operands.as_slice()) {
            (op::LOGICAL_AND | op::LOGICAL_OR, operands @ [_, _])
            | (op::LOGICAL_NOT, operands @ [_]) => {
                for operand in operands {
                    self.one_of(operand, &[Bool]);
                }
                Bool
            }
            (op::EQUALS | op::NOT_EQUALS, [left, right]) => {
                self.alike(part, left, right, &[Bool, Int, Text]);
                Bool
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [left, right]) => {
                self.alike(part, left, right, &[Int, Text]);
                Bool
            }
            (op::IN, [value, list]) => {
                self.membership(part, value, list);
                Bool
            }
            (op::ADD, [left, right]) => self.alike(part, left, right, &[Int, Text])?,
            (op::DIVIDE | op::MODULO, [_, zero]) if is_zero(zero) => {
                return self.reject(zero, "divides by zero".to_owned());
            }
            (op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, operands @ [_, _])
            | (op::NEGATE, operands @ [_]) => {
                for operand in operands {
                    self.one_of(operand, &[Int]);
                }
                Int
            }
            (op::CONDITIONAL, [condition, left, right]) => {
                self.one_of(condition, &[Bool]);
                self.alike(part, left, right, &[Bool, Int, Text])?
            }
            ("size", [measured]) => {
                match self.type_of(measured) {
                    Some(Type::Value(Text) | Type::List(_)) | None => {}
                    Some(found) => {
                        self.wrong_type::<()>(measured, found, &[Text]);
                    }
                }
                Int
            }
            ("startsWith" | "endsWith" | "contains", operands @ [_, _])
                if call.target.is_some() =>
            {
                for operand in operands {
                    self.one_of(operand, &[Text]);
                }
                Bool
            }
            _ => return self.refuse(part, &format!("`{}`", shown(name))),
        };
        Some(Type::Value(kind))
    }

    /// Returns the kind of a part that must be one of these.
    fn one_of(&mut self, part: &IdedExpr, wanted: &[FactKind]) -> Option<FactKind> {
        match self.type_of(part)? {
            Type::Value(kind) if wanted.contains(&kind) => Some(kind),
            found @ (Type::Value(_) | Type::List(_)) => self.wrong_type(part, found, wanted),
        }
    }

    /// Returns the kind of two operands, which must be the same.
    fn alike(
        &mut self,
        part: &IdedExpr,
        left: &IdedExpr,
        right: &IdedExpr,
        wanted: &[FactKind],
    ) -> Option<FactKind> {
        let (left, right) = (self.one_of(left, wanted), self.one_of(right, wanted));
        let (left, right) = (left?, right?);
        if left != right {
            return self.reject(part, format!("puts {left} together with {right}"));
        }
        Some(left)
    }

    fn membership(&mut self, part: &IdedExpr, value: &IdedExpr, list: &IdedExpr) {
        let value = self.one_of(value, &[FactKind::Int, FactKind::Text]);
        match self.type_of(list) {
            Some(Type::List(kind)) => {
                if let Some(value) = value.filter(|value| *value != kind) {
                    self.reject::<()>(part, format!("looks for {value} in a list of {kind}"));
                }
            }
            Some(Type::Value(kind)) => {
                self.reject::<()>(list, format!("is {kind} where a list is needed"));
            }
            None => {}
        }
    }

    fn wrong_type<T>(&mut self, part: &IdedExpr, found: Type, wanted: &[FactKind]) -> Option<T> {
        let found = match found {
            Type::Value(kind) => kind.to_string(),
            Type::List(kind) => format!("a list of {kind}"),
        };
        let wanted: Vec<String> = wanted.iter().map(FactKind::to_string).collect();
        let wanted = wanted.join(" or ");
        self.reject(part, format!("is {found} where {wanted} is needed"))
    }

    fn refuse<T>(&mut self, part: &IdedExpr, what: &str) -> Option<T> {
        self.reject(part, format!("{what} is not allowed in a rule"))
    }

    fn reject<T>(&mut self, part: &IdedExpr, text: String) -> Option<T> {
        let start = self.program.source_info().offset_for(part.id);
        let start = start.and_then(|(start, _)| usize::try_from(start).ok());
        self.mistakes.push(match start {
            Some(start) => ExpressionMistake::at(self.source, start, text),
            None => ExpressionMistake::of_whole(text),
        });
        None
    }
}

fn is_zero(part: &IdedExpr) -> bool {
    matches!(&part.expr, Expr::Literal(LiteralValue::Int(value)) if *value.inner() == 0)
}

/// Returns an operator as it is written.
fn shown(name: &str) -> &str {
    name.trim_matches(['_', '@'])
}

#[cfg(test)]
mod tests {
    use super::super::Expression;
    use super::*;

    fn kinds() -> BTreeMap<String, FactKind> {
        BTreeMap::from([
            ("verified".to_owned(), FactKind::Bool),
            ("age_years".to_owned(), FactKind::Int),
            ("occupation".to_owned(), FactKind::Text),
        ])
    }

    /// Returns line, column and text of each mistake.
    fn mistakes(source: &str) -> Vec<(usize, usize, String)> {
        let mistakes = Expression::compile(source, &kinds()).unwrap_err();
        let place = |m: ExpressionMistake| (m.line, m.column, m.text);
        mistakes.into_iter().map(place).collect()
    }

    #[test]
    fn a_wrong_type_is_found_wherever_it_stands() {
        for (source, column, text) in [
            // Evaluation of a verified person never comes to the second half.
            (
                "verified || occupation > 3",
                24,
                "puts string together with int",
            ),
            (
                "verified ? true : occupation > 3",
                30,
                "puts string together with int",
            ),
            (
                "verified || occupation",
                13,
                "is string where bool is needed",
            ),
            ("!age_years", 2, "is int where bool is needed"),
            ("age_years + 1", 11, "is not a yes or no"),
            ("occupation", 1, "is not a yes or no"),
            ("[1, 2]", 1, "is not a yes or no"),
            ("age_years == '18'", 11, "puts int together with string"),
            (
                "verified < true",
                1,
                "is bool where int or string is needed",
            ),
            ("-occupation == 1", 2, "is string where int is needed"),
            ("age_years - 'x' > 0", 13, "is string where int is needed"),
            (
                "age_years + 'x' == 'y'",
                11,
                "puts int together with string",
            ),
            (
                "age_years in ['18']",
                11,
                "looks for int in a list of string",
            ),
            ("age_years in 18", 14, "is int where a list is needed"),
            (
                "occupation in ['A', 1]",
                21,
                "is of another type than those before",
            ),
            (
                "[1] == [1]",
                1,
                "is a list of int where bool or int or string is needed",
            ),
            ("size(age_years) > 1", 6, "is int where string is needed"),
            (
                "occupation.startsWith(1)",
                23,
                "is int where string is needed",
            ),
            (
                "(verified ? 1 : 'x') == 1",
                11,
                "puts int together with string",
            ),
        ] {
            let found = mistakes(source);

            let is_told = found.iter().any(|(_, c, t)| *c == column && t == text);
            assert!(is_told, "{source}: {found:?}");
        }
    }

    #[test]
    fn what_has_no_place_in_a_rule_is_refused_where_it_stands() {
        for (source, column, what) in [
            ("shoe_size > 40", 1, "`shoe_size` is not a fact"),
            ("no_such_function(age_years)", 17, "`no_such_function`"),
            ("occupation.matches('(a+)+$')", 19, "`matches`"),
            ("matches(occupation, 'a')", 8, "`matches`"),
            ("[1, 2].all(x, x > 1)", 11, "`all`"),
            ("[1].exists(x, [2].exists(y, x == y))", 11, "`exists`"),
            ("[1].map(x, x)", 8, "`map`"),
            ("[1].filter(x, x > 1) == [1]", 11, "`filter`"),
            ("has(verified.x)", 4, "`has`"),
            ("verified.x", 9, "the field `x`"),
            ("[1, 2][0] == 1", 7, "`[_]`"),
            ("{'a': 1} == {'a': 1}", 1, "`{}`"),
            ("age_years > 1.5", 13, "this literal"),
            ("age_years > 1u", 13, "this literal"),
            ("occupation == b'x'", 15, "this literal"),
            ("occupation == null", 15, "this literal"),
            ("age_years in []", 14, "an empty list"),
            (
                "age_years in [age_years]",
                15,
                "an element that is no literal",
            ),
            ("int(occupation) > 1", 4, "`int`"),
            ("type(verified) == bool", 5, "`type`"),
            ("dyn(verified)", 4, "`dyn`"),
            ("size(occupation, occupation) > 1", 5, "`size`"),
            ("startsWith(occupation, 'x')", 11, "`startsWith`"),
            (".verified", 2, "`.verified` is not a fact"),
            ("1 / 0 == 1", 5, "divides by zero"),
            ("age_years % 0 == 1", 13, "divides by zero"),
        ] {
            let found = mistakes(source);

            let is_told = found
                .iter()
                .any(|(_, c, t)| *c == column && t.starts_with(what));
            assert!(is_told, "{source}: {found:?}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_line_and_column() {
        let source = "shoe_size > 40 &&\n  occupation == 3 ||\n  'é' == occupation && matches(hat)";

        assert_eq!(
            mistakes(source),
            [
                (1, 1, "`shoe_size` is not a fact of this scheme".to_owned()),
                (2, 14, "puts string together with int".to_owned()),
                (3, 31, "`matches` is not allowed in a rule".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_allowed_can_be_evaluated() {
        let facts = [
            ("verified", crate::domain::facts::FactValue::Bool(true)),
            ("age_years", crate::domain::facts::FactValue::Int(30)),
            (
                "occupation",
                crate::domain::facts::FactValue::Text("FARMER".to_owned()),
            ),
        ];
        let mut person = crate::domain::facts::Facts::default();
        for (name, value) in facts {
            person.insert(name, value);
        }
        let person = super::super::FactContext::new(&person);

        for source in [
            "verified && !false || false",
            "verified == true && verified != false",
            "age_years >= 18 && age_years <= 64 && age_years > -1 && age_years < 65",
            "age_years == 30 && age_years != 31",
            "'A' < occupation && occupation >= 'FARMER' && 'Z' > occupation && occupation <= 'G'",
            "occupation == 'FARMER' && occupation != 'POLICE'",
            "(age_years + 2) * 3 - 6 == 90 && age_years / 7 == 4 && age_years % 7 == 2",
            "-age_years == -30",
            "occupation + 'S' == 'FARMERS'",
            "age_years in [-30, 30] && occupation in ['FARMER', 'FISHER']",
            "size(occupation) == 6 && occupation.size() == 6 && size([1, 2]) == 2",
            "occupation.startsWith('FA') && occupation.endsWith('ER') && occupation.contains('ARM')",
            "(verified ? age_years : 0) == 30",
            "verified ? occupation == 'FARMER' : age_years > 3",
        ] {
            let expression = Expression::compile(source, &kinds());

            assert!(expression.unwrap().holds(&person), "{source}");
        }
    }

    #[test]
    fn an_expression_has_a_bounded_number_of_parts() {
        let list = |count: usize| format!("age_years in [{}]", vec!["1"; count].join(","));

        // The operator, the fact and the list are parts as well.
        assert!(Expression::compile(&list(PARTS_MAX - 3), &kinds()).is_ok());
        assert_eq!(
            mistakes(&list(PARTS_MAX - 2)),
            [(1, 0, "has more than 250 parts".to_owned())]
        );
        // Neither can nesting exhaust a stack.
        for (open, close) in [("(", ")"), ("!", ""), ("-", ""), ("[", "]")] {
            let source = format!("{}verified{}", open.repeat(480), close.repeat(480));
            let _ = Expression::compile(&source, &kinds());
        }
        let sum = format!("{}1 > 0", "1+".repeat(480));
        assert_eq!(mistakes(&sum).len(), 1);
    }
}
