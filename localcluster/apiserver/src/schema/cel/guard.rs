//! Bounds of what an expression may cost, and the names it uses.
//!
//! The interpreter has no limit of its own. So the steps of every loop, and the functions that can make a
//! text much longer, are wrapped in calls of [`STEP`] and [`SHORT`], which stop the evaluation when too
//! much was done.

use std::cell::Cell;
use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, operators};
use cel::common::types::{CelList, CelMap, CelString, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError, IdedExpr};

/// Deepest nesting of an expression.
pub(super) const MAX_DEPTH: usize = 512;
/// Steps that the rules of one object may take.
const BUDGET: usize = 500_000;
/// Most bytes that a loop or a function may make of one value.
const MAX_VALUE: usize = 1024 * 1024;
/// Most bytes of a text that stands in the place of another many times.
const MAX_REPEATED: usize = 256;

const STEP: &str = "@step";
const SHORT: &str = "@short";

/// Names that stand for types.
const TYPES: [&str; 14] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "timestamp",
    "type",
    "uint",
];

thread_local! {
    /// Steps that are left to the object whose rules this thread evaluates.
    static LEFT: Cell<usize> = const { Cell::new(BUDGET) };
}

/// Returns whether an evaluation on this thread was stopped.
pub(super) fn is_spent() -> bool {
    LEFT.get() == 0
}

/// Declares the functions that expressions are wrapped in.
pub(super) fn declare(environment: &mut Env) -> Result<(), cel::DeclarationError> {
    environment.add_overload(STEP, STEP, vec![DYN_TYPE], |arguments| {
        let value = only(arguments)?;
        let bytes = bytes(&*value, 0);
        LEFT.set(LEFT.get().saturating_sub(1 + bytes / 1024));
        if bytes > MAX_VALUE {
            LEFT.set(0);
        }
        if is_spent() { Err(spent()) } else { Ok(value) }
    })?;
    environment.add_overload(SHORT, SHORT, vec![DYN_TYPE], |arguments| {
        let value = only(arguments)?;
        if bytes(&*value, 0) > MAX_REPEATED {
            LEFT.set(0);
            return Err(spent());
        }
        Ok(value)
    })
}

fn only<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    arguments
        .pop()
        .ok_or(ExecutionError::MissingArgumentOrTarget)
}

fn spent() -> ExecutionError {
    ExecutionError::function_error("validation", "cost budget exceeded")
}

/// Size of a value, counted until it is too large.
fn bytes(value: &(dyn Val + '_), counted: usize) -> usize {
    let mut counted = counted + 1;
    if counted > MAX_VALUE {
        return counted;
    }
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        counted += text.inner().len();
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        for item in list.inner() {
            counted = bytes(&**item, counted);
        }
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        for item in map.inner().values() {
            counted = bytes(&**item, counted);
        }
    }
    counted
}

/// The names that an expression uses.
pub(super) struct Found<'a> {
    is_declared: &'a dyn Fn(&str) -> bool,
    /// Functions that are not declared.
    pub(super) unknown: BTreeSet<String>,
    /// Variables that are not declared.
    pub(super) undeclared: Vec<String>,
    pub(super) uses_old: bool,
    pub(super) too_deep: bool,
    /// Variables of the loops around the place.
    scope: Vec<String>,
    depth: usize,
}

/// Wraps what may cost much, and finds the names. `is_declared` knows the functions.
pub(super) fn bound<'a>(
    expression: &mut IdedExpr,
    is_declared: &'a dyn Fn(&str) -> bool,
) -> Found<'a> {
    let mut found = Found {
        is_declared,
        unknown: BTreeSet::new(),
        undeclared: Vec::new(),
        uses_old: false,
        too_deep: false,
        scope: Vec::new(),
        depth: 0,
    };
    found.visit(expression);
    found
}

impl Found<'_> {
    fn visit(&mut self, expression: &mut IdedExpr) {
        if self.depth >= MAX_DEPTH {
            self.too_deep = true;
            return;
        }
        self.depth += 1;
        match &mut expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.visit(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().for_each(|item| self.visit(item)),
            Expr::Map(map) => self.entries(map.entries.iter_mut().map(|entry| &mut entry.expr)),
            Expr::Struct(object) => {
                self.unknown.insert(object.type_name.clone());
                self.entries(object.entries.iter_mut().map(|entry| &mut entry.expr));
            }
            Expr::Comprehension(inner) => self.comprehension(inner),
            Expr::Call(call) => {
                self.call(call);
                if matches!(call.func_name.as_str(), "replace" | "join" | "format") {
                    let repeated = match call.func_name.as_str() {
                        "replace" => call.args.get_mut(1),
                        "join" => call.args.get_mut(0),
                        _ => None,
                    };
                    if let Some(argument) = repeated {
                        wrap(argument, SHORT);
                    }
                    if let Some(target) = call.target.as_deref_mut() {
                        wrap(target, STEP);
                    }
                    wrap(expression, STEP);
                }
            }
        }
        self.depth -= 1;
    }

    fn entries<'a>(&mut self, entries: impl Iterator<Item = &'a mut EntryExpr>) {
        for entry in entries {
            match entry {
                EntryExpr::StructField(field) => self.visit(&mut field.value),
                EntryExpr::MapEntry(entry) => {
                    self.visit(&mut entry.key);
                    self.visit(&mut entry.value);
                }
            }
        }
    }

    fn variable(&mut self, name: &str) {
        self.uses_old |= name == "oldSelf";
        let known = name == "self"
            || name == "oldSelf"
            || name.starts_with('@')
            || self.scope.iter().any(|variable| variable == name)
            || TYPES.contains(&name);
        if !known {
            self.undeclared.push(name.to_owned());
        }
    }

    fn call(&mut self, call: &mut CallExpr) {
        call.args
            .iter_mut()
            .for_each(|argument| self.visit(argument));
        let operator = !call
            .func_name
            .starts_with(|c: char| c.is_ascii_alphabetic());
        let full = call.target.as_deref().and_then(path);
        let full = full.map(|path| format!("{path}.{}", call.func_name));
        if full.as_deref().is_some_and(self.is_declared) {
            return;
        }
        if !operator && !(self.is_declared)(&call.func_name) {
            // A target that is no variable is a namespace: `format.dns1123Label()`.
            let root = full.as_deref().and_then(|name| name.split('.').next());
            let namespace = root.is_some_and(|root| {
                root != "self" && root != "oldSelf" && !self.scope.iter().any(|own| own == root)
            });
            let name = full.filter(|_| namespace);
            self.unknown
                .insert(name.unwrap_or_else(|| call.func_name.clone()));
        }
        if let Some(target) = &mut call.target {
            self.visit(target);
        }
    }

    fn comprehension(&mut self, inner: &mut ComprehensionExpr) {
        self.visit(&mut inner.iter_range);
        self.visit(&mut inner.accu_init);
        let outer = self.scope.len();
        self.scope.push(inner.iter_var.clone());
        self.scope.push(inner.accu_var.clone());
        self.scope.extend(inner.iter_var2.clone());
        self.visit(&mut inner.loop_cond);
        self.visit(&mut inner.loop_step);
        self.visit(&mut inner.result);
        self.scope.truncate(outer);
        // The interpreter recognises `map` and `filter` by a constant condition and the form of the step,
        // which are kept.
        if matches!(inner.loop_cond.expr, Expr::Literal(_)) {
            step(&mut inner.loop_step);
        } else {
            wrap(&mut inner.loop_cond, STEP);
        }
    }
}

/// Wraps the condition and the new item of a step of `map` or `filter`, or the step as a whole.
fn step(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL && call.args.len() == 3 => {
            wrap(&mut call.args[0], STEP);
            step(&mut call.args[1]);
        }
        Expr::Call(call) if call.func_name == operators::ADD && call.args.len() == 2 => {
            match &mut call.args[1].expr {
                Expr::List(list) => list.elements.iter_mut().for_each(|item| wrap(item, STEP)),
                _ => wrap(&mut call.args[1], STEP),
            }
        }
        _ => wrap(expression, STEP),
    }
}

fn wrap(expression: &mut IdedExpr, function: &str) {
    let id = expression.id;
    let call = CallExpr {
        func_name: function.to_owned(),
        target: None,
        args: vec![std::mem::take(expression)],
    };
    *expression = IdedExpr {
        id,
        expr: Expr::Call(call),
    };
}

/// The name that an expression spells, such as `math` or `a.b`.
fn path(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", path(&select.operand)?, select.field))
        }
        _ => None,
    }
}
