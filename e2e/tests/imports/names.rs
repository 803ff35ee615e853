//! The imported, used and defined names of a module.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Item, UseTree, Visibility, visit::Visit};

use crate::modules::is_test;

/// A single imported name.
pub(crate) struct Import {
    /// The name in this module.
    pub(crate) name: String,
    /// The imported path; for a glob the path of the module.
    pub(crate) path: Vec<String>,
    /// Whether it is a re-export.
    pub(crate) public: bool,
}

/// The names of one module, without its child modules and tests.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) imports: Vec<Import>,
    pub(crate) globs: Vec<Import>,
    /// All paths used in the code.
    pub(crate) used: BTreeSet<Vec<String>>,
    pub(crate) defined: BTreeSet<String>,
}

impl Names {
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut names = Self::default();
        for item in items {
            names.visit_item(item);
            names.defined.extend(defined(item));
        }
        names
    }

    pub(crate) fn import(&self, name: &str) -> Option<&Import> {
        self.imports.iter().find(|import| import.name == name)
    }

    fn add_import(&mut self, tree: &UseTree, path: &mut Vec<String>, public: bool) {
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.add_import(&inner.tree, path, public);
                path.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_import(tree, path, public);
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.push_import(path.last().cloned().unwrap_or_default(), path, None, public);
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.push_import(name.clone(), path, Some(name), public);
            }
            UseTree::Rename(rename) => {
                let original = rename.ident.to_string();
                self.push_import(rename.rename.to_string(), path, Some(original), public);
            }
            UseTree::Glob(_) => self.globs.push(Import {
                name: String::new(),
                path: path.clone(),
                public,
            }),
        }
    }

    fn push_import(&mut self, name: String, path: &[String], last: Option<String>, public: bool) {
        let path = path.iter().cloned().chain(last).collect();
        self.imports.push(Import { name, path, public });
    }

    /// Adds the paths in the arguments of a macro, which are only tokens.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add_path(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                }
                TokenTree::Group(group) => {
                    self.add_path(std::mem::take(&mut path));
                    self.add_tokens(group.stream());
                }
                _ => self.add_path(std::mem::take(&mut path)),
            }
            colons = 0;
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        if !path.is_empty() {
            self.used.insert(path);
        }
    }
}

impl Visit<'_> for Names {
    fn visit_item(&mut self, item: &Item) {
        match item {
            // Read separately.
            Item::Mod(_) => {}
            Item::Use(item) => {
                if !is_test(&item.attrs) {
                    let public = !matches!(item.vis, Visibility::Inherited);
                    self.add_import(&item.tree, &mut Vec::new(), public);
                }
            }
            Item::Fn(item) if is_test(&item.attrs) => {}
            Item::Impl(item) if is_test(&item.attrs) => {}
            item => syn::visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter();
            self.add_path(segments.map(|part| part.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.add_tokens(call.tokens.clone());
        syn::visit::visit_macro(self, call);
    }
}

/// The name that an item defines in its module.
fn defined(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
