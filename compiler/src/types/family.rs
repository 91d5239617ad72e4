//! The families of types and their other names.

/// Families by their canonical names, sorted.
pub(super) const FAMILIES: &[&str] = &[
    "AggregateFunction",
    "Array",
    "BFloat16",
    "Bool",
    "Date",
    "Date32",
    "DateTime",
    "DateTime64",
    "Decimal",
    "Dynamic",
    "Enum16",
    "Enum8",
    "FixedString",
    "Float32",
    "Float64",
    "Geometry",
    "IPv4",
    "IPv6",
    "Int128",
    "Int16",
    "Int256",
    "Int32",
    "Int64",
    "Int8",
    "IntervalDay",
    "IntervalHour",
    "IntervalMicrosecond",
    "IntervalMillisecond",
    "IntervalMinute",
    "IntervalMonth",
    "IntervalNanosecond",
    "IntervalQuarter",
    "IntervalSecond",
    "IntervalWeek",
    "IntervalYear",
    "JSON",
    "LineString",
    "LowCardinality",
    "Map",
    "MultiLineString",
    "MultiPolygon",
    "Nested",
    "Nothing",
    "Nullable",
    "Point",
    "Polygon",
    "QBit",
    "Ring",
    "SimpleAggregateFunction",
    "String",
    "Time",
    "Time64",
    "Tuple",
    "UInt128",
    "UInt16",
    "UInt256",
    "UInt32",
    "UInt64",
    "UInt8",
    "UUID",
    "Variant",
];

/// Families whose name may be written in any letter case.
const CASE_INSENSITIVE: &[&str] = &[
    "Bool",
    "Date",
    "Date32",
    "DateTime",
    "DateTime64",
    "Decimal",
    "JSON",
    "Time",
    "Time64",
];

/// Names taken over from SQL, in upper case and sorted, with the family each stands for.
const ALIASES: &[(&str, &str)] = &[
    ("BIGINT", "Int64"),
    ("BIGINT SIGNED", "Int64"),
    ("BIGINT UNSIGNED", "UInt64"),
    ("BINARY", "FixedString"),
    ("BINARY LARGE OBJECT", "String"),
    ("BINARY VARYING", "String"),
    ("BIT", "UInt64"),
    ("BLOB", "String"),
    ("BOOL", "Bool"),
    ("BOOLEAN", "Bool"),
    ("BYTE", "Int8"),
    ("BYTEA", "String"),
    ("CHAR", "String"),
    ("CHAR LARGE OBJECT", "String"),
    ("CHAR VARYING", "String"),
    ("CHARACTER", "String"),
    ("CHARACTER LARGE OBJECT", "String"),
    ("CHARACTER VARYING", "String"),
    ("CLOB", "String"),
    ("DEC", "Decimal"),
    ("DOUBLE", "Float64"),
    ("DOUBLE PRECISION", "Float64"),
    ("ENUM", "Enum"),
    ("FIXED", "Decimal"),
    ("FLOAT", "Float32"),
    ("GEOMETRY", "Geometry"),
    ("INET4", "IPv4"),
    ("INET6", "IPv6"),
    ("INT", "Int32"),
    ("INT SIGNED", "Int32"),
    ("INT UNSIGNED", "UInt32"),
    ("INT1", "Int8"),
    ("INT1 SIGNED", "Int8"),
    ("INT1 UNSIGNED", "UInt8"),
    ("INTEGER", "Int32"),
    ("INTEGER SIGNED", "Int32"),
    ("INTEGER UNSIGNED", "UInt32"),
    ("LONGBLOB", "String"),
    ("LONGTEXT", "String"),
    ("MEDIUMBLOB", "String"),
    ("MEDIUMINT", "Int32"),
    ("MEDIUMINT SIGNED", "Int32"),
    ("MEDIUMINT UNSIGNED", "UInt32"),
    ("MEDIUMTEXT", "String"),
    ("NATIONAL CHAR", "String"),
    ("NATIONAL CHAR VARYING", "String"),
    ("NATIONAL CHARACTER", "String"),
    ("NATIONAL CHARACTER LARGE OBJECT", "String"),
    ("NATIONAL CHARACTER VARYING", "String"),
    ("NCHAR", "String"),
    ("NCHAR LARGE OBJECT", "String"),
    ("NCHAR VARYING", "String"),
    ("NUMERIC", "Decimal"),
    ("NVARCHAR", "String"),
    ("REAL", "Float32"),
    ("SET", "UInt64"),
    ("SIGNED", "Int64"),
    ("SINGLE", "Float32"),
    ("SMALLINT", "Int16"),
    ("SMALLINT SIGNED", "Int16"),
    ("SMALLINT UNSIGNED", "UInt16"),
    ("TEXT", "String"),
    ("TIMESTAMP", "DateTime"),
    ("TINYBLOB", "String"),
    ("TINYINT", "Int8"),
    ("TINYINT SIGNED", "Int8"),
    ("TINYINT UNSIGNED", "UInt8"),
    ("TINYTEXT", "String"),
    ("UNSIGNED", "UInt64"),
    ("VARBINARY", "String"),
    ("VARCHAR", "String"),
    ("VARCHAR2", "String"),
    ("YEAR", "UInt16"),
];

/// The family that a name (of one word or several, separated by single blanks) means, and whether the name is an alias.
pub(super) fn find(name: &str) -> Option<(&'static str, bool)> {
    if let Ok(at) = FAMILIES.binary_search(&name) {
        return Some((FAMILIES[at], false));
    }
    if let Some(family) = CASE_INSENSITIVE
        .iter()
        .find(|family| family.eq_ignore_ascii_case(name))
    {
        return Some((family, false));
    }
    let upper = name.to_ascii_uppercase();
    let at = ALIASES
        .binary_search_by_key(&upper.as_str(), |(alias, _)| alias)
        .ok()?;
    Some((ALIASES[at].1, true))
}

/// Whether a longer name of several words begins with these words.
pub(super) fn continues(words: &str) -> bool {
    let upper = words.to_ascii_uppercase();
    ALIASES.iter().any(|(alias, _)| {
        alias
            .strip_prefix(upper.as_str())
            .is_some_and(|rest| rest.starts_with(' '))
    })
}

/// The family nearest to a misspelt name.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    FAMILIES
        .iter()
        .map(|family| {
            let distance = strsim::damerau_levenshtein(&family.to_ascii_lowercase(), &lower);
            (distance, *family)
        })
        .filter(|(distance, family)| *distance <= 2.min(family.len() / 2))
        .min()
        .map(|(_, family)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_can_be_searched() {
        assert!(FAMILIES.is_sorted());
        assert!(ALIASES.is_sorted());
    }
}
