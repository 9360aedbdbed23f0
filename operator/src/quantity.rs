//! Sizes as Kubernetes writes them. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The bytes of a size such as `10Gi`, `1.5G` or `1e9`; none: it is no size.
pub fn bytes(quantity: &Quantity) -> Option<u64> {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 0.001),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let text = quantity.0.trim();
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
        .unwrap_or((text, 1.0));
    let number: f64 = number.parse().ok()?;
    let bytes = (number * factor).ceil();
    (bytes.is_finite() && bytes >= 0.0).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        let of = |text: &str| bytes(&Quantity(text.into()));
        assert_eq!(of("10Gi"), Some(10 << 30));
        assert_eq!(of("1.5Gi"), Some(3 << 29));
        assert_eq!(of("1500M"), Some(1_500_000_000));
        assert_eq!(of("1e3"), Some(1000));
        assert_eq!(of("1500m"), Some(2));
        assert_eq!(of("0"), Some(0));
        assert_eq!(of("ten"), None);
        assert_eq!(of("-1"), None);
    }
}
