//! `resourceFieldRef`: a container's own requests and limits as environment values.

use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceFieldSelector},
    apimachinery::pkg::api::resource::Quantity,
};

/// Returns the value of e.g. `limits.cpu`, divided by the divisor (default 1) and rounded up, as in
/// Kubernetes. An unset CPU limit is the number of the host's cores, any other unset limit is 0.
pub(super) fn field_value(
    pod: &Pod,
    container: &Container,
    field: &ResourceFieldSelector,
) -> Result<String, String> {
    let unknown = || format!("resource {:?} is not supported", field.resource);
    let owner = match &field.container_name {
        None => container,
        Some(name) => pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .find(|other| other.name == *name)
            .ok_or_else(|| format!("there is no container {name:?}"))?,
    };
    let (part, name) = field.resource.split_once('.').ok_or_else(unknown)?;
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") {
        return Err(unknown());
    }
    let resources = owner.resources.clone().unwrap_or_default();
    let amounts = match part {
        "limits" => resources.limits,
        "requests" => resources.requests.or(resources.limits),
        _ => return Err(unknown()),
    };
    let amount = match amounts.as_ref().and_then(|amounts| amounts.get(name)) {
        Some(amount) => milli(amount)?,
        None if name == "cpu" => {
            std::thread::available_parallelism().map_or(1000, |cores| cores.get() as i128 * 1000)
        }
        None => 0,
    };
    let divisor = match &field.divisor {
        Some(divisor) => Some(milli(divisor)?).filter(|divisor| *divisor != 0),
        None => None,
    };
    let divisor = divisor.unwrap_or(1000);
    Ok((amount + divisor - 1).div_euclid(divisor).to_string())
}

/// Parses a quantity into thousandths.
fn milli(quantity: &Quantity) -> Result<i128, String> {
    const UNITS: [(&str, i128); 14] = [
        ("Ki", 1000 << 10),
        ("Mi", 1000 << 20),
        ("Gi", 1000 << 30),
        ("Ti", 1000 << 40),
        ("Pi", 1000 << 50),
        ("Ei", 1000 << 60),
        ("m", 1),
        ("k", 1_000_000),
        ("M", 1_000_000_000),
        ("G", 1_000_000_000_000),
        ("T", 1_000_000_000_000_000),
        ("P", 1_000_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000_000),
        ("", 1000),
    ];
    let text = quantity.0.trim();
    let bad = || format!("{text:?} is not a quantity");
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .ok_or_else(bad)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = u32::try_from(fraction.len())
        .ok()
        .and_then(|digits| 10_i128.checked_pow(digits))
        .ok_or_else(bad)?;
    let number: i128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    number
        .checked_mul(unit)
        .map(|scaled| scaled / scale)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_parsed_into_thousandths() {
        for (text, expected) in [
            ("1", 1000),
            ("250m", 250),
            ("1.5", 1500),
            ("64Mi", 64 * 1024 * 1024 * 1000),
            ("2k", 2_000_000),
            ("0", 0),
        ] {
            assert_eq!(milli(&Quantity(text.into())), Ok(expected), "{text}");
        }
        for text in ["", "Mi", "1.2.3", "ten"] {
            assert!(
                milli(&Quantity(text.into())).is_err(),
                "{text:?} was accepted"
            );
        }
    }
}
