//! Expressions, compiled.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use cel::common::types::CelString;
use cel::common::value::{CowVal, Val};
use cel::{Context, DeclarationError, Env, IdedExpr, extensions};

use super::{functions, guard};

/// Stack of the thread that runs the crate's recursive code. Only what is used of it takes memory.
const STACK: usize = 64 * 1024 * 1024;

/// Most bytes of an expression.
const MAX_EXPRESSION: usize = 16 * 1024;
/// Most expressions that are kept compiled.
const MAX_KEPT: usize = 4096;

/// An expression that can be evaluated.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) expression: IdedExpr,
    /// Whether it reads `oldSelf`.
    pub(super) uses_old: bool,
}

/// The reason why an expression cannot be evaluated.
#[derive(Debug)]
pub(super) enum Problem {
    /// It is wrong: the definition is refused.
    Invalid(String),
    /// It calls these functions, which this server does not have: the rule is skipped.
    Unknown(String),
}

/// The functions and macros of rules.
pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    let declared: Result<(), DeclarationError> = (|| {
        extensions::strings(&mut environment)?;
        functions::declare(&mut environment)?;
        guard::declare(&mut environment)
    })();
    debug_assert!(declared.is_ok(), "{declared:?}");
    Arc::new(environment)
});

/// Runs `work` on a thread of its own, so that deep recursion has room and a panic stays there.
pub(super) fn isolated<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// What a conversion such as `duration` makes of a text.
pub(super) fn converted(function: &str, text: &str) -> Option<Box<dyn Val>> {
    let argument = vec![CowVal::owned(CelString::from(text.to_owned()))];
    let convert = ENVIRONMENT.find_overload(function, &argument)?;
    convert(argument).ok().map(CowVal::into_owned)
}

/// Returns whether rules have a function of this name. The crate refuses to have one added again.
fn is_declared(name: &str) -> bool {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_function(name, || true).is_err()
}

type Compiled = Arc<Result<Program, Problem>>;

/// Compiled expressions by their text: a definition is compiled again whenever some definition changes.
static KEPT: LazyLock<Mutex<HashMap<String, Compiled>>> = LazyLock::new(Mutex::default);

/// The expression compiled, in a form whose evaluation is bounded.
pub(super) fn compile(source: &str) -> Compiled {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get(source) {
        return Arc::clone(known);
    }
    let invalid = |why: &str| Err(Problem::Invalid(why.to_owned()));
    let compiled = if source.len() > MAX_EXPRESSION {
        invalid("the expression is longer than 16384 bytes")
    } else {
        isolated(|| parse(source)).unwrap_or_else(|| invalid("the expression cannot be parsed"))
    };
    let compiled = Arc::new(compiled);
    let mut kept = kept();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(source.to_owned(), Arc::clone(&compiled));
    compiled
}

fn parse(source: &str) -> Result<Program, Problem> {
    let parser = ENVIRONMENT.parser().enable_ident_escape_syntax(true);
    let mut expression = parser
        .parse(source)
        .map_err(|errors| Problem::Invalid(errors.to_string()))?;
    let found = guard::bound(&mut expression, &is_declared);
    if found.too_deep {
        return Err(Problem::Invalid(format!(
            "the expression nests deeper than {} levels",
            guard::MAX_DEPTH
        )));
    }
    if !found.unknown.is_empty() {
        let names: Vec<&str> = found.unknown.iter().map(String::as_str).collect();
        return Err(Problem::Unknown(names.join(", ")));
    }
    if let Some(name) = found.undeclared.first() {
        let why = format!("undeclared reference to '{name}' (in container '')");
        return Err(Problem::Invalid(why));
    }
    Ok(Program {
        expression,
        uses_old: found.uses_old,
    })
}
