//! What the rules know of functions. Lists of what is known to be harmless: a function that is on none of them keeps a rule from applying.

use std::collections::BTreeSet;

/// Functions of their arguments alone: one value for each row, the same wherever it is computed. In lower case and sorted.
#[rustfmt::skip]
pub(crate) const SCALAR: &[&str] = &[
    "abs", "accuratecast", "accuratecastornull", "adddays", "addhours", "addminutes", "addmonths",
    "addquarters", "addseconds", "addweeks", "addyears", "and", "appendtrailingcharifabsent", "array",
    "arrayall", "arrayavg", "arraycompact", "arrayconcat", "arraycount", "arraydistinct", "arrayelement",
    "arrayenumerate", "arrayexists", "arrayfilter", "arrayfirst", "arrayflatten", "arrayintersect",
    "arraylast", "arraymap", "arraymax", "arraymin", "arrayreverse", "arrayreversesort", "arrayslice",
    "arraysort", "arraystringconcat", "arraysum", "arrayuniq", "arrayzip", "ascii", "assumenotnull",
    "base64decode", "base64encode", "bitand", "bitnot", "bitor", "bitshiftleft", "bitshiftright", "bittest",
    "bitxor", "cast", "ceil", "ceiling", "char", "char_length", "cityhash64", "coalesce", "concat",
    "concatwithseparator", "crc32", "cutfragment", "cutquerystring", "cuttofirstsignificantsubdomain",
    "cuturlparameter", "date_diff", "date_trunc", "datediff", "datetrunc", "dayofmonth", "dayofweek",
    "decodeurlcomponent", "divide", "domain", "domainwithoutwww", "empty", "encodeurlcomponent", "endswith",
    "equals", "exp", "extract", "extractall", "extracturlparameter", "extracturlparameters", "farmhash64",
    "firstsignificantsubdomain", "floor", "format", "formatdatetime", "fragment", "fromunixtimestamp",
    "fromunixtimestamp64micro", "fromunixtimestamp64milli", "gcd", "geodistance", "geohashdecode",
    "geohashencode", "greatcircledistance", "greater", "greaterorequals", "greatest", "halfmd5", "has",
    "hasall", "hasany", "hastoken", "hex", "hour", "if", "ifnotfinite", "ifnull", "ilike", "in", "indexof",
    "intdiv", "intdivorzero", "inthash32", "inthash64", "ipv4numtostring", "ipv4stringtonum",
    "ipv6numtostring", "isfinite", "isinfinite", "isnan", "isnotnull", "isnull", "isvalidjson", "iszeroornull",
    "json_query", "json_value", "jsonextract", "jsonextractarrayraw", "jsonextractbool", "jsonextractfloat",
    "jsonextractint", "jsonextractkeys", "jsonextractraw", "jsonextractstring", "jsonextractuint", "jsonhas",
    "jsonlength", "jsontype", "lcm", "least", "left", "leftpad", "length", "lengthutf8", "less",
    "lessorequals", "like", "ln", "locate", "log", "log10", "log2", "lower", "lowerutf8", "lpad", "ltrim",
    "map", "mapcontains", "mapkeys", "mapvalues", "match", "md5", "minus", "minute", "modulo", "month",
    "monthname", "multiif", "multimatchany", "multiply", "multisearchany", "murmurhash3_32", "murmurhash3_64",
    "negate", "not", "notempty", "notequals", "notilike", "notin", "notlike", "nullif", "or",
    "parsedatetime64besteffort", "parsedatetimebesteffort", "parsedatetimebesteffortornull",
    "parsedatetimebesteffortorzero", "path", "pathfull", "plus", "pointinpolygon", "position",
    "positioncaseinsensitive", "positivemodulo", "pow", "power", "protocol", "quarter", "querystring", "range",
    "regexp_replace", "repeat", "replace", "replaceall", "replaceone", "replaceregexpall", "replaceregexpone",
    "reverse", "right", "rightpad", "round", "rpad", "rtrim", "second", "sha1", "sha256", "sign",
    "simplejsonextractfloat", "simplejsonextractint", "simplejsonextractraw", "simplejsonextractstring",
    "simplejsonhas", "siphash64", "splitbychar", "splitbyregexp", "splitbystring", "sqrt", "startswith",
    "substr", "substring", "substringutf8", "subtractdays", "subtracthours", "subtractminutes",
    "subtractmonths", "subtractquarters", "subtractseconds", "subtractweeks", "subtractyears", "tobool",
    "todate", "todate32", "todateornull", "todateorzero", "todatetime", "todatetime64", "todatetimeornull",
    "todatetimeorzero", "todayofmonth", "todayofweek", "todayofyear", "todecimal128", "todecimal32",
    "todecimal64", "tofixedstring", "tofloat32", "tofloat32orzero", "tofloat64", "tofloat64ornull",
    "tofloat64orzero", "tohour", "toint128", "toint16", "toint16orzero", "toint256", "toint32",
    "toint32ornull", "toint32orzero", "toint64", "toint64ornull", "toint64orzero", "toint8", "toint8orzero",
    "tointervalday", "tointervalhour", "tointervalminute", "tointervalmonth", "tointervalquarter",
    "tointervalsecond", "tointervalweek", "tointervalyear", "toipv4", "toipv6", "tojsonstring",
    "tolastdayofmonth", "tolowcardinality", "tominute", "tomonday", "tomonth", "tonullable", "topleveldomain",
    "toquarter", "tosecond", "tostartofday", "tostartoffifteenminutes", "tostartoffiveminutes",
    "tostartofhour", "tostartofinterval", "tostartofminute", "tostartofmonth", "tostartofquarter",
    "tostartofsecond", "tostartoftenminutes", "tostartofweek", "tostartofyear", "tostring", "totime",
    "totimezone", "touint128", "touint16", "touint16orzero", "touint256", "touint32", "touint32ornull",
    "touint32orzero", "touint64", "touint64ornull", "touint64orzero", "touint8", "touint8orzero",
    "tounixtimestamp", "touuid", "toweek", "toyear", "toyearweek", "toyyyymm", "toyyyymmdd",
    "toyyyymmddhhmmss", "transform", "trim", "trimboth", "trimleft", "trimright", "trunc", "tuple",
    "tupleelement", "unhex", "upper", "upperutf8", "visitparamextractfloat", "visitparamextractint",
    "visitparamextractraw", "visitparamextractstring", "visitparamhas", "xor", "xxhash32", "xxhash64", "year",
];

/// Functions without arguments that give one value for a whole query.
const OF_THE_QUERY: &[&str] = &["now", "today", "yesterday"];

/// Aggregates that give the same whatever the order of the rows.
const UNORDERED: &[&str] = &[
    "avg",
    "avgif",
    "count",
    "countif",
    "max",
    "maxif",
    "min",
    "minif",
    "sum",
    "sumif",
    "uniq",
    "uniqexact",
    "uniqif",
];

/// Aggregates that give the same however often a row is there.
const IDEMPOTENT: &[&str] = &["max", "min", "uniqexact"];

/// Whether all of them are functions of each row alone.
pub(super) fn all_scalar(calls: &BTreeSet<String>) -> bool {
    calls.iter().all(|name| is_scalar(name))
}

/// Whether the order of rows is lost on all of them.
pub(super) fn all_unordered(calls: &BTreeSet<String>) -> bool {
    let unordered = |name: &String| is_scalar(name) || UNORDERED.contains(&name.as_str());
    calls.iter().all(unordered)
}

/// Whether one of them is an aggregate that the order of rows is lost on.
pub(super) fn any_unordered_aggregate(calls: &BTreeSet<String>) -> bool {
    calls.iter().any(|name| UNORDERED.contains(&name.as_str()))
}

/// Whether rows that come twice change nothing for all of them.
pub(super) fn all_idempotent(calls: &BTreeSet<String>) -> bool {
    calls.iter().all(|name| IDEMPOTENT.contains(&name.as_str()))
}

/// Functions that give another value for each block of rows, or several rows for one. In lower case and sorted.
const CHANGING: &[&str] = &[
    "arrayjoin",
    "blocknumber",
    "blockserializedsize",
    "blocksize",
    "neighbor",
    "nowinblock",
    "nowinblock64",
    "rownumberinallblocks",
    "rownumberinblock",
    "runningaccumulate",
    "runningconcurrency",
    "runningdifference",
    "runningdifferencestartingwithfirstvalue",
    "unnest",
];

/// Whether a query with one of these is not the same twice.
pub(super) fn any_changing(calls: &BTreeSet<String>) -> bool {
    let changing = |name: &String| is_random(name) || CHANGING.contains(&name.as_str());
    calls.iter().any(changing)
}

/// Functions that ask for the time. In lower case and sorted.
const OF_THE_CLOCK: &[&str] = &[
    "curdate",
    "current_date",
    "current_timestamp",
    "initial_query_start_time",
    "initialquerystarttime",
    "localtime",
    "localtimestamp",
    "now",
    "now64",
    "nowinblock",
    "nowinblock64",
    "today",
    "utc_timestamp",
    "utctimestamp",
    "yesterday",
];

/// Functions that make values up, beside those whose names begin with `rand` or `generate`. In lower case and sorted.
const RANDOM: &[&str] = &[
    "arraypartialshuffle",
    "arrayrandomsample",
    "arrayshuffle",
    "datetimetouuidv7",
    "fuzzbits",
    "fuzzquery",
];

/// Whether an expression gives one row another value the next time it is asked for. A column with the name of a function is taken for the function.
pub(crate) fn changes_each_time(expression: &str) -> bool {
    let Ok(scan) = crate::sql::scan(&format!("SELECT {expression}")) else {
        return false;
    };
    let called = scan.functions.iter();
    let mut called = called.map(|called| called.name.to_ascii_lowercase());
    let changes = |name: &str| {
        is_random(name) || asks_the_clock(name) || CHANGING.binary_search(&name).is_ok()
    };
    called.any(|name| changes(&name)) || !crate::sql::clock::bare(expression).is_empty()
}

/// Whether a function, by its name in lower case, makes values up: `rand` and all that begin so, `generateUUIDv4` and its kin.
pub(crate) fn is_random(name: &str) -> bool {
    name.starts_with("rand") || name.starts_with("generate") || RANDOM.binary_search(&name).is_ok()
}

/// Whether a function, by its name in lower case, asks for the time.
pub(crate) fn asks_the_clock(name: &str) -> bool {
    OF_THE_CLOCK.binary_search(&name).is_ok()
}

fn is_scalar(name: &str) -> bool {
    SCALAR.binary_search(&name).is_ok() || OF_THE_QUERY.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        for sorted in [SCALAR, CHANGING, OF_THE_CLOCK, RANDOM] {
            assert!(sorted.is_sorted());
        }
        let calls = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert!(all_scalar(&calls(&["upper", "now"])));
        assert!(!all_scalar(&calls(&["upper", "sum"])));
        assert!(any_changing(&calls(&["generateuuidv4"])));
        assert!(changes_each_time("toString(generateUUIDv4())"));
        assert!(changes_each_time("now64(3) - 5"));
        assert!(changes_each_time("now"));
        assert!(changes_each_time("arrayShuffle([1, 2])"));
        assert!(!changes_each_time("upper('now()')"));
        assert!(!changes_each_time("known + 1"));
    }
}
