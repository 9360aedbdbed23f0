//! Sizes as Kubernetes writes them. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The bytes of a size such as `10Gi`, `1.5G` or `1e9`, rounded up; none: it is no size. Exact, since the API server writes
/// `8.3G` as `8300M`, and both are the same size.
pub fn bytes(quantity: &Quantity) -> Option<u64> {
    /// The end of the text, and by what it multiplies: a power of two, and one of ten.
    const UNITS: [(&str, u32, i32); 15] = [
        ("Ki", 10, 0),
        ("Mi", 20, 0),
        ("Gi", 30, 0),
        ("Ti", 40, 0),
        ("Pi", 50, 0),
        ("Ei", 60, 0),
        ("n", 0, -9),
        ("u", 0, -6),
        ("m", 0, -3),
        ("k", 0, 3),
        ("M", 0, 6),
        ("G", 0, 9),
        ("T", 0, 12),
        ("P", 0, 15),
        ("E", 0, 18),
    ];
    let text = quantity.0.trim();
    let unit = UNITS.iter().find_map(|(unit, two, ten)| Some((text.strip_suffix(unit)?, *two, *ten)));
    let (text, two, ten) = unit.unwrap_or((text, 0, 0));
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.strip_prefix('+').unwrap_or(whole);
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let places = i32::try_from(fraction.len()).ok()?;
    let ten = ten.checked_add(exponent.parse().ok()?)?.checked_sub(places)?;
    let number = digits.parse::<u128>().ok()?.checked_mul(1 << two)?;
    if number == 0 {
        return Some(0);
    }
    let bytes = match u32::try_from(ten) {
        Ok(ten) => number.checked_mul(10_u128.checked_pow(ten)?)?,
        // So small a part of a byte is one byte.
        Err(_) => 10_u128.checked_pow(ten.unsigned_abs()).map_or(1, |part| number.div_ceil(part)),
    };
    u64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<u64> {
        bytes(&Quantity(text.into()))
    }

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, size) in [
            ("10Gi", 10 << 30),
            ("1.5Gi", 3 << 29),
            ("1Ki", 1 << 10),
            ("3Mi", 3 << 20),
            ("2Ti", 2 << 40),
            ("1Pi", 1 << 50),
            ("1Ei", 1 << 60),
            ("1500M", 1_500_000_000),
            ("7k", 7000),
            ("1T", 1_000_000_000_000),
            ("1P", 1_000_000_000_000_000),
            ("2E", 2_000_000_000_000_000_000),
            ("1e3", 1000),
            ("1E3", 1000),
            ("1.25e2", 125),
            ("5e-1", 1),
            ("1500m", 2),
            ("1u", 1),
            ("1000000001n", 2),
            ("0", 0),
            ("0e9", 0),
            ("+1Gi", 1 << 30),
            (".5Gi", 1 << 29),
            ("5.", 5),
            (" 1Gi ", 1 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(of(text), Some(size), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_none() {
        for text in [
            "",
            " ",
            "ten",
            "-1",
            "-1Gi",
            "Gi",
            ".",
            "1.2.3",
            "1 Gi",
            "1gi",
            "1GiB",
            "1e",
            "1ee3",
            "1e3.5",
            "nan",
            "inf",
            "infinity",
            "0x10",
            "1_000",
            "++1",
            "18446744073709551616",
            "16Ei",
            "1e400",
            "1e99999999999",
            "1e-99999999999",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_the_same_however_it_is_written() {
        // In binary fractions these are a byte more than what the API server makes of them, and a volume would grow for ever.
        for (text, canonical) in [
            ("8.3G", "8300M"),
            ("16.1G", "16100M"),
            ("0.54T", "540G"),
            ("1.07G", "1070M"),
            ("8.05k", "8050"),
            ("1.1Gi", "1181116006400m"),
            ("0.5Gi", "512Mi"),
        ] {
            assert_eq!(of(text), of(canonical), "{text}");
            assert!(of(text).is_some(), "{text}");
        }
        assert_eq!(of("8.3G"), Some(8_300_000_000));
    }
}
