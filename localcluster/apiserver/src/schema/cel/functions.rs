//! Functions that Kubernetes has beside those of the CEL standard and the strings library.

use std::cmp::Ordering;
use std::net::IpAddr;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelString, DYN_TYPE, LIST_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError, add_member_overload, add_overload};
use http::Uri;
use regex::Regex;

use crate::schema::quantity;

type Outcome<T> = Result<T, ExecutionError>;

fn failed<T>(function: &str, why: impl ToString) -> Outcome<T> {
    Err(ExecutionError::function_error(function, why))
}

/// Makes a type of values that only functions can read.
macro_rules! opaque {
    ($name:ident, $type:literal, $inner:ty) => {
        #[derive(Debug, Clone, PartialEq)]
        struct $name($inner);

        impl Val for $name {
            fn get_type(&self) -> &Type {
                Self::cel_type()
            }

            fn cel_type() -> &'static Type {
                static TYPE: Type = Type::new_unspecified_type($type);
                &TYPE
            }

            fn equals(&self, other: &dyn Val) -> bool {
                other.downcast_ref::<Self>() == Some(self)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn std::any::Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}

opaque!(CelUrl, "kubernetes.URL", Uri);
opaque!(CelIp, "net.IP", IpAddr);
opaque!(CelCidr, "net.CIDR", (IpAddr, u8));
// In thousandths.
opaque!(CelQuantity, "kubernetes.Quantity", i128);

/// Declares the functions.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    add_overload!(env, fn url: (CelString) -> Result<CelUrl>)?;
    add_overload!(env, fn is_url: (CelString) -> CelBool, name = "isURL")?;
    add_member_overload!(env, fn get_scheme: (CelUrl) -> CelString)?;
    add_member_overload!(env, fn get_host: (CelUrl) -> CelString)?;
    add_member_overload!(env, fn get_hostname: (CelUrl) -> CelString)?;
    add_member_overload!(env, fn get_port: (CelUrl) -> CelString)?;
    add_member_overload!(env, fn get_escaped_path: (CelUrl) -> CelString)?;

    add_overload!(env, fn ip: (CelString) -> Result<CelIp>)?;
    add_overload!(env, fn is_ip: (CelString) -> CelBool, name = "isIP")?;
    add_overload!(env, fn is_canonical: (CelString) -> Result<CelBool>, name = "ip.isCanonical")?;
    add_member_overload!(env, fn family: (CelIp) -> CelInt)?;
    add_member_overload!(env, fn is_unspecified: (CelIp) -> CelBool)?;
    add_member_overload!(env, fn is_loopback: (CelIp) -> CelBool)?;
    add_overload!(env, fn cidr: (CelString) -> Result<CelCidr>)?;
    add_overload!(env, fn is_cidr: (CelString) -> CelBool, name = "isCIDR")?;
    add_member_overload!(env, fn contains_ip: (CelCidr, CelString) -> Result<CelBool>, name = "containsIP")?;
    add_member_overload!(env, fn prefix_length: (CelCidr) -> CelInt)?;

    add_overload!(env, fn quantity: (CelString) -> Result<CelQuantity>)?;
    add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    add_member_overload!(env, fn is_greater_than: (CelQuantity, CelQuantity) -> CelBool)?;
    add_member_overload!(env, fn is_less_than: (CelQuantity, CelQuantity) -> CelBool)?;
    add_member_overload!(env, fn compare_to: (CelQuantity, CelQuantity) -> CelInt)?;
    add_member_overload!(env, fn sign: (CelQuantity) -> CelInt)?;
    add_member_overload!(env, fn as_integer: (CelQuantity) -> Result<CelInt>)?;
    add_member_overload!(env, fn is_integer: (CelQuantity) -> CelBool)?;
    add_member_overload!(env, fn as_approximate_float: (CelQuantity) -> CelDouble)?;

    add_member_overload!(env, fn find: (CelString, CelString) -> Result<CelString>)?;
    add_member_overload!(env, fn find_all: (CelString, CelString) -> Result<CelList>)?;

    add_member_overload!(env, fn is_sorted: (CelList) -> Result<CelBool>)?;
    env.add_member_overload("min", "list_min", LIST_TYPE, vec![], |list| {
        extreme(&list, Ordering::Less)
    })?;
    env.add_member_overload("max", "list_max", LIST_TYPE, vec![], |list| {
        extreme(&list, Ordering::Greater)
    })?;
    env.add_member_overload("sum", "list_sum", LIST_TYPE, vec![], |list| sum(&list))?;
    env.add_member_overload("indexOf", "list_index", LIST_TYPE, vec![DYN_TYPE], |list| {
        position(&list)
    })?;
    add_overload!(env, fn set_contains: (CelList, CelList) -> CelBool, name = "sets.contains")?;
    add_overload!(env, fn set_equivalent: (CelList, CelList) -> CelBool, name = "sets.equivalent")?;
    add_overload!(env, fn set_intersects: (CelList, CelList) -> CelBool, name = "sets.intersects")
}

// URLs.

/// A URL as clients must give them: with a scheme or as a path.
fn read_url(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    (uri.scheme().is_some() || text.starts_with('/')).then_some(uri)
}

fn url(text: &CelString<'_>) -> Outcome<CelUrl> {
    let why = || {
        format!(
            "URL parse error during conversion from string: {:?}",
            text.inner()
        )
    };
    read_url(text.inner()).map_or_else(|| failed("url", why()), |uri| Ok(CelUrl(uri)))
}

fn is_url(text: &CelString<'_>) -> CelBool {
    read_url(text.inner()).is_some().into()
}

fn get_scheme(url: &CelUrl) -> CelString<'static> {
    url.0.scheme_str().unwrap_or_default().to_owned().into()
}

fn get_host(url: &CelUrl) -> CelString<'static> {
    let authority = url.0.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.to_owned().into()
}

fn get_hostname(url: &CelUrl) -> CelString<'static> {
    let host = url.0.host().unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned().into()
}

fn get_port(url: &CelUrl) -> CelString<'static> {
    let port = url.0.port().map(|port| port.to_string());
    port.unwrap_or_default().into()
}

fn get_escaped_path(url: &CelUrl) -> CelString<'static> {
    url.0.path().to_owned().into()
}

// Addresses.

/// An address as Kubernetes takes it: no zone, no IPv4 inside IPv6.
fn read_ip(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let mapped = matches!(address, IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some());
    (!mapped).then_some(address)
}

fn ip(text: &CelString<'_>) -> Outcome<CelIp> {
    let why = format!(
        "IP Address {:?} parse error during conversion from string",
        text.inner()
    );
    read_ip(text.inner()).map_or_else(|| failed("ip", why), |address| Ok(CelIp(address)))
}

fn is_ip(text: &CelString<'_>) -> CelBool {
    read_ip(text.inner()).is_some().into()
}

fn is_canonical(text: &CelString<'_>) -> Outcome<CelBool> {
    Ok((ip(text)?.0.to_string() == text.inner()).into())
}

fn family(ip: &CelIp) -> CelInt {
    CelInt::from(if ip.0.is_ipv4() { 4 } else { 6 })
}

fn is_unspecified(ip: &CelIp) -> CelBool {
    ip.0.is_unspecified().into()
}

fn is_loopback(ip: &CelIp) -> CelBool {
    ip.0.is_loopback().into()
}

fn read_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = read_ip(address)?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = length.parse().ok()?;
    (length <= width).then_some((address, length))
}

fn cidr(text: &CelString<'_>) -> Outcome<CelCidr> {
    let why = format!(
        "network address parse error during conversion from string: {:?}",
        text.inner()
    );
    read_cidr(text.inner()).map_or_else(|| failed("cidr", why), |read| Ok(CelCidr(read)))
}

fn is_cidr(text: &CelString<'_>) -> CelBool {
    read_cidr(text.inner()).is_some().into()
}

fn contains_ip(cidr: &CelCidr, text: &CelString<'_>) -> Outcome<CelBool> {
    let (network, length) = cidr.0;
    let same = match (network, ip(text)?.0) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            differing.leading_zeros() >= u32::from(length)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differing = network.to_bits() ^ address.to_bits();
            differing.leading_zeros() >= u32::from(length)
        }
        _ => false,
    };
    Ok(same.into())
}

fn prefix_length(cidr: &CelCidr) -> CelInt {
    i64::from(cidr.0.1).into()
}

// Quantities.

fn quantity(text: &CelString<'_>) -> Outcome<CelQuantity> {
    let why = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    quantity::parse(text.inner()).map_or_else(|| failed("quantity", why), |q| Ok(CelQuantity(q)))
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    quantity::parse(text.inner()).is_some().into()
}

fn is_greater_than(a: &CelQuantity, b: &CelQuantity) -> CelBool {
    (a.0 > b.0).into()
}

fn is_less_than(a: &CelQuantity, b: &CelQuantity) -> CelBool {
    (a.0 < b.0).into()
}

fn compare_to(a: &CelQuantity, b: &CelQuantity) -> CelInt {
    (a.0.cmp(&b.0) as i64).into()
}

fn sign(a: &CelQuantity) -> CelInt {
    (a.0.cmp(&0) as i64).into()
}

fn whole(a: &CelQuantity) -> Option<i64> {
    i64::try_from(a.0 / 1000).ok().filter(|_| a.0 % 1000 == 0)
}

fn as_integer(a: &CelQuantity) -> Outcome<CelInt> {
    whole(a).map_or_else(
        || failed("asInteger", "cannot convert value to integer"),
        |n| Ok(n.into()),
    )
}

fn is_integer(a: &CelQuantity) -> CelBool {
    whole(a).is_some().into()
}

fn as_approximate_float(a: &CelQuantity) -> CelDouble {
    #[allow(clippy::cast_precision_loss)]
    (a.0 as f64 / 1000.0).into()
}

// Regular expressions.

fn pattern(text: &CelString<'_>) -> Outcome<Regex> {
    Regex::new(text.inner()).or_else(|error| failed("find", error))
}

fn find(text: &CelString<'_>, regex: &CelString<'_>) -> Outcome<CelString<'static>> {
    let regex = pattern(regex)?;
    let found = regex.find(text.inner()).map_or("", |found| found.as_str());
    Ok(found.to_owned().into())
}

fn find_all(text: &CelString<'_>, regex: &CelString<'_>) -> Outcome<CelList<'static>> {
    let regex = pattern(regex)?;
    let found = regex.find_iter(text.inner());
    let boxed = |text: &str| -> Box<dyn Val> { Box::new(CelString::from(text.to_owned())) };
    Ok(found
        .map(|found| boxed(found.as_str()))
        .collect::<Vec<_>>()
        .into())
}

// Lists.

fn items<'a, 'v>(arguments: &'a [CowVal<'_, 'v>]) -> Outcome<&'a CelList<'v>> {
    let list = arguments
        .first()
        .and_then(|list| list.downcast_ref::<CelList<'v>>());
    list.ok_or(ExecutionError::MissingArgumentOrTarget)
}

fn order(a: &dyn Val, b: &dyn Val) -> Outcome<Ordering> {
    match a.as_comparer() {
        Some(comparer) => comparer.compare(b),
        None => failed("compare", "no such overload"),
    }
}

fn is_sorted(list: &CelList<'_>) -> Outcome<CelBool> {
    for pair in list.inner().windows(2) {
        if order(&*pair[0], &*pair[1])? == Ordering::Greater {
            return Ok(false.into());
        }
    }
    Ok(true.into())
}

/// The item that stands before all others in the order wanted.
fn extreme<'b, 'v>(list: &[CowVal<'b, 'v>], wanted: Ordering) -> Outcome<CowVal<'b, 'v>> {
    let mut items = items(list)?.inner().iter();
    let Some(mut best) = items.next() else {
        return failed("min/max", "called on empty list");
    };
    for item in items {
        if order(&**item, &**best)? == wanted {
            best = item;
        }
    }
    Ok(CowVal::Owned(best.clone()))
}

fn sum<'b, 'v>(list: &[CowVal<'b, 'v>]) -> Outcome<CowVal<'b, 'v>> {
    let mut total: Option<Box<dyn Val + 'v>> = None;
    for item in items(list)?.inner() {
        total = Some(match &total {
            None => item.clone(),
            Some(total) => match total.as_adder() {
                Some(adder) => adder.add(&**item)?.into_owned(),
                None => return failed("sum", "no such overload"),
            },
        });
    }
    Ok(CowVal::Owned(
        total.unwrap_or_else(|| Box::new(CelInt::from(0))),
    ))
}

fn position<'b, 'v>(arguments: &[CowVal<'b, 'v>]) -> Outcome<CowVal<'b, 'v>> {
    let mut items = items(arguments)?.inner().iter();
    let wanted = arguments.get(1);
    let found = items.position(|item| wanted.is_some_and(|wanted| item.equals(&**wanted)));
    let index = found.and_then(|index| i64::try_from(index).ok());
    Ok(CowVal::owned(CelInt::from(index.unwrap_or(-1))))
}

fn all_in(part: &CelList<'_>, whole: &CelList<'_>) -> bool {
    let has = |item: &dyn Val| whole.inner().iter().any(|other| other.equals(item));
    part.inner().iter().all(|item| has(&**item))
}

fn set_contains(list: &CelList<'_>, part: &CelList<'_>) -> CelBool {
    all_in(part, list).into()
}

fn set_equivalent(a: &CelList<'_>, b: &CelList<'_>) -> CelBool {
    (all_in(a, b) && all_in(b, a)).into()
}

fn set_intersects(a: &CelList<'_>, b: &CelList<'_>) -> CelBool {
    let has = |item: &dyn Val| b.inner().iter().any(|other| other.equals(item));
    a.inner().iter().any(|item| has(&**item)).into()
}
