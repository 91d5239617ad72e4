//! Values just outside of what a column holds: each is set aside alone, none is stored as another, and none keeps other rows from being written.

use super::types::json;
use super::{append, project, reasons, tsv};
use pipewright::ingest::{Counts, EventLimits, Events, Format, json_lines};

#[tokio::test]
async fn a_decimal_that_is_too_large_is_set_aside() {
    insta::assert_snapshot!(json("m_dec", "Decimal(18, 4)", &["1e30", "12345678901234567.1", "99999999999999.9999", "12345678901234.5678", "-1.5", "1e3", "true", "\"1e400\"", "null", "1.005"]).await, @r#"
    1e30 -> ✗ cannot read as Decimal(18, 4): 1e30
    12345678901234567.1 -> ✗ cannot read as Decimal(18, 4): 12345678901234567.1
    99999999999999.9999 -> 99999999999999.9999
    12345678901234.5678 -> 12345678901234.5678
    -1.5 -> -1.5
    1e3 -> 1000
    true -> ✗ cannot read as Decimal(18, 4): true
    "1e400" -> ✗ cannot read as Decimal(18, 4): 1e400
    null -> ✗ no value, and the column has neither a default nor is it Nullable
    1.005 -> 1.005
    "#);
    insta::assert_snapshot!(json("m_decmap", "Map(String, Decimal(9, 2))", &["{\"a\":99999999.99}", "{\"a\":1.25}"]).await, @r#"
    {"a":99999999.99} -> ✗ cannot read as Map(String, Decimal(9, 2)): {"a":99999999.99}
    {"a":1.25} -> {'a':1.25}
    "#);
    insta::assert_snapshot!(json("m_decarr", "Array(Nullable(Decimal(9, 2)))", &["[1, null, 2.5]", "[]"]).await, @r"
    [1, null, 2.5] -> [1,NULL,2.5]
    [] -> []
    ");
}

#[tokio::test]
async fn the_keys_of_a_map_are_of_its_type() {
    insta::assert_snapshot!(json("m_keys", "Map(Int32, String)", &["{\"1\":\"a\",\"-2\":\"b\"}", "{\"x\":\"y\"}", "{\"99999999999\":\"y\"}", "{}", ""]).await, @r#"
    {"1":"a","-2":"b"} -> {1:'a',-2:'b'}
    {"x":"y"} -> ✗ cannot read as Map(Int32, String): {"x":"y"}
    {"99999999999":"y"} -> ✗ cannot read as Map(Int32, String): {"99999999999":"y"}
    {} -> {}
     -> {}
    "#);
    insta::assert_snapshot!(json("m_days", "Array(Map(Date, UInt8))", &["[{\"2026-01-02\":1},{}]", "[{\"soon\":1}]"]).await, @r#"
    [{"2026-01-02":1},{}] -> [{'2026-01-02':1},{}]
    [{"soon":1}] -> ✗ cannot read as Array(Map(Date, UInt8)): [{"soon":1}]
    "#);
    insta::assert_snapshot!(json("m_names", "Map(Enum8('' = 1, 'b' = 2), UInt8)", &["{\"b\":1,\"\":2}", "{\"c\":1}"]).await, @r#"
    {"b":1,"":2} -> {'b':1,'':2}
    {"c":1} -> ✗ cannot read as Map(Enum8(\'\' = 1, \'b\' = 2), UInt8): {"c":1}
    "#);
    insta::assert_snapshot!(json("m_within", "Tuple(a Map(FixedString(2), Map(UInt8, UInt8)))", &["{\"a\":{\"xy\":{\"7\":1}}}", "{\"a\":{\"xyz\":{\"7\":1}}}", "{\"a\":{\"x\":{\"700\":1}}}"]).await, @r#"
    {"a":{"xy":{"7":1}}} -> ({'xy':{7:1}})
    {"a":{"xyz":{"7":1}}} -> ✗ cannot read as Tuple(a Map(FixedString(2), Map(UInt8, UInt8))): {"a":{"xyz":{"7":1}}}
    {"a":{"x":{"700":1}}} -> ✗ cannot read as Tuple(a Map(FixedString(2), Map(UInt8, UInt8))): {"a":{"x":{"700":1}}}
    "#);
}

#[tokio::test]
async fn names_of_an_enum_without_numbers_count_on() {
    insta::assert_snapshot!(json("m_enum", "Enum8('x' = 5, 'y')", &["\"x\"", "\"y\"", "\"z\""]).await, @r#"
    "x" -> x
    "y" -> y
    "z" -> ✗ cannot read as Enum8(\'x\' = 5, \'y\' = 6): z
    "#);
    assert_eq!(
        tsv("SELECT groupArray(CAST(v AS Int8)) FROM (SELECT v FROM m_enum ORDER BY v)").await,
        "[5,6]\n"
    );
}

#[tokio::test]
async fn a_quarantine_has_columns_of_the_names_that_are_its_own() {
    let schema = "SCHEMA >\n    `id` UInt8 `json:$.id`,\n    `insertion_date` DateTime('UTC') `json:$.at`,\n    `c__error` String `json:$.error`,\n    `c__value_c__error` String `json:$.more`\n";
    let plan = project(&[("m_own.datasource", schema)]).await;
    let rows = "{\"id\":1,\"at\":\"2026-01-02 03:04:05\",\"error\":\"e\",\"more\":\"m\"}\n{\"id\":\"x\",\"at\":\"then\",\"error\":\"f\",\"more\":\"n\"}\n";
    let appended = append(&plan, "m_own", Format::Ndjson, rows).await.unwrap();
    let expected = Counts {
        successful: 1,
        quarantined: 1,
    };
    assert_eq!(appended.counts, expected);
    assert_eq!(
        reasons("m_own").await,
        "id: cannot read as UInt8: x; insertion_date: cannot read as DateTime(\\'UTC\\'): then\n"
    );
    assert_eq!(
        tsv("SELECT id, c__value_insertion_date, c__value_c__value_c__error, c__value_c__error, insertion_date > '2020-01-01' FROM m_own_quarantine").await,
        "x\tthen\tf\tn\t1\n"
    );
}

#[tokio::test]
async fn a_json_value_that_the_column_would_lose_is_set_aside() {
    insta::assert_snapshot!(json("m_json", "JSON", &["{\"a\":1}", "{}", "", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1},\"a.b\":2}", "{\"a\":null}", "{\"a\":{}}", "{\"a\":[]}"]).await, @r#"
    {"a":1} -> {"a":1}
    {} -> {}
     -> {}
    {"a":1,"a":2} -> ✗ cannot read as JSON: {"a":1,"a":2}
    {"a":{"b":1},"a.b":2} -> ✗ cannot read as JSON: {"a":{"b":1},"a.b":2}
    {"a":null} -> {}
    {"a":{}} -> {}
    {"a":[]} -> {"a":[]}
    "#);
    insta::assert_snapshot!(json("m_typed", "JSON(a UInt8, b.c DateTime('UTC'))", &["{\"a\":7}", "{\"a\":300}", "{\"a\":7,\"b\":{\"c\":\"soon\"}}", "{\"a\":7,\"b\":{\"c\":\"2026-01-02 03:04:05\"}}", "{\"a\":0}", "{}", "{\"d\":1}"]).await, @r#"
    {"a":7} -> {"a":7,"b":{"c":"1970-01-01 00:00:00"}}
    {"a":300} -> ✗ cannot read as JSON(a UInt8, `b.c` DateTime(\'UTC\')): {"a":300}
    {"a":7,"b":{"c":"soon"}} -> ✗ cannot read as JSON(a UInt8, `b.c` DateTime(\'UTC\')): {"a":7,"b":{"c":"soon"}}
    {"a":7,"b":{"c":"2026-01-02 03:04:05"}} -> {"a":7,"b":{"c":"2026-01-02 03:04:05"}}
    {"a":0} -> {"a":0,"b":{"c":"1970-01-01 00:00:00"}}
    {} -> {"a":0,"b":{"c":"1970-01-01 00:00:00"}}
    {"d":1} -> {"a":0,"b":{"c":"1970-01-01 00:00:00"},"d":1}
    "#);
    insta::assert_snapshot!(json("m_point", "Point", &["[1,2]", "[\"x\",2]", "[1]", "[0,0]"]).await, @r#"
    [1,2] -> (1,2)
    ["x",2] -> ✗ cannot read as Tuple(Float64, Float64): ["x",2]
    [1] -> ✗ cannot read as Tuple(Float64, Float64): [1]
    [0,0] -> (0,0)
    "#);
}

#[tokio::test]
async fn the_widest_integers_do_not_wrap() {
    insta::assert_snapshot!(json("m_i128", "Int128", &["\"170141183460469231731687303715884105727\"", "\"170141183460469231731687303715884105728\"", "\"-170141183460469231731687303715884105728\"", "\"-170141183460469231731687303715884105729\"", "999999999999999999999999999999999999999999999999", "\"007\"", "\"-0\"", "\"+5\"", "1e3", "1.5", "true", "\"x\""]).await, @r#"
    "170141183460469231731687303715884105727" -> 170141183460469231731687303715884105727
    "170141183460469231731687303715884105728" -> ✗ cannot read as Int128: 170141183460469231731687303715884105728
    "-170141183460469231731687303715884105728" -> -170141183460469231731687303715884105728
    "-170141183460469231731687303715884105729" -> ✗ cannot read as Int128: -170141183460469231731687303715884105729
    999999999999999999999999999999999999999999999999 -> ✗ cannot read as Int128: 999999999999999999999999999999999999999999999999
    "007" -> 7
    "-0" -> 0
    "+5" -> 5
    1e3 -> 1000
    1.5 -> ✗ cannot read as Int128: 1.5
    true -> 1
    "x" -> ✗ cannot read as Int128: x
    "#);
    insta::assert_snapshot!(json("m_u128", "UInt128", &["\"340282366920938463463374607431768211455\"", "\"340282366920938463463374607431768211456\"", "-1", "\"-1\""]).await, @r#"
    "340282366920938463463374607431768211455" -> 340282366920938463463374607431768211455
    "340282366920938463463374607431768211456" -> ✗ cannot read as UInt128: 340282366920938463463374607431768211456
    -1 -> ✗ cannot read as UInt128: -1
    "-1" -> ✗ cannot read as UInt128: -1
    "#);
    insta::assert_snapshot!(json("m_u256", "Array(UInt256)", &["[\"115792089237316195423570985008687907853269984665640564039457584007913129639935\"]", "[\"115792089237316195423570985008687907853269984665640564039457584007913129639936\"]"]).await, @r#"
    ["115792089237316195423570985008687907853269984665640564039457584007913129639935"] -> [115792089237316195423570985008687907853269984665640564039457584007913129639935]
    ["115792089237316195423570985008687907853269984665640564039457584007913129639936"] -> ✗ cannot read as Array(UInt256): ["115792089237316195423570985008687907853269984665640564039457584007913129639936"]
    "#);
    let schema = "SCHEMA >\n    `n` UInt8,\n    `v` Int128\n";
    let plan = project(&[("m_i128_csv.datasource", schema)]).await;
    let rows = "0,170141183460469231731687303715884105728\n1,12\n";
    let appended = append(&plan, "m_i128_csv", Format::Csv, rows)
        .await
        .unwrap();
    assert_eq!(appended.counts.quarantined, 1);
    assert_eq!(tsv("SELECT * FROM m_i128_csv").await, "1\t12\n");
}

#[tokio::test]
async fn points_in_time_that_there_are_not_are_set_aside() {
    insta::assert_snapshot!(json("m_dt64", "DateTime64(3, 'UTC')", &["\"0000-00-00 00:00:00\"", "\"0000-01-01 00:00:00\"", "1e18", "1000000000000000000000", "\"1970-01-01 00:00:00\"", "\"2024-00-10\"", "\"2024-1-00\"", "\"12:30\"", "1700000000", "1700000000.25"]).await, @r#"
    "0000-00-00 00:00:00" -> ✗ cannot read as DateTime64(3, \'UTC\'): 0000-00-00 00:00:00
    "0000-01-01 00:00:00" -> ✗ cannot read as DateTime64(3, \'UTC\'): 0000-01-01 00:00:00
    1e18 -> 2001-09-09 01:46:40.000
    1000000000000000000000 -> ✗ cannot read as DateTime64(3, \'UTC\'): 1000000000000000000000
    "1970-01-01 00:00:00" -> 1970-01-01 00:00:00.000
    "2024-00-10" -> ✗ cannot read as DateTime64(3, \'UTC\'): 2024-00-10
    "2024-1-00" -> ✗ cannot read as DateTime64(3, \'UTC\'): 2024-1-00
    "12:30" -> ✗ cannot read as DateTime64(3, \'UTC\'): 12:30
    1700000000 -> 2023-11-14 22:13:20.000
    1700000000.25 -> 2023-11-14 22:13:20.250
    "#);
    insta::assert_snapshot!(json("m_d32", "Date32", &["1e18", "\"0000-00-00\"", "\"1925-01-01\""]).await, @r#"
    1e18 -> 2001-09-09
    "0000-00-00" -> ✗ cannot read as Date32: 0000-00-00
    "1925-01-01" -> 1925-01-01
    "#);
    insta::assert_snapshot!(json("m_f32", "Float32", &["1e300", "\"1e300\"", "1.5", "0.1", "3.4e38", "\"inf\"", "\"nan\"", "\"-inf\""]).await, @r#"
    1e300 -> ✗ cannot read as Float32: 1e300
    "1e300" -> ✗ cannot read as Float32: 1e300
    1.5 -> 1.5
    0.1 -> 0.1
    3.4e38 -> 3.4e38
    "inf" -> inf
    "nan" -> nan
    "-inf" -> -inf
    "#);
}

#[tokio::test]
async fn a_key_is_not_taken_for_a_name_of_our_own() {
    let schema = "SCHEMA >\n    `n` UInt8 `json:$.n`,\n    `v` Array(Int32) `json:$.pw_value[:]`\n";
    let plan = project(&[("m_key.datasource", schema)]).await;
    let rows =
        "{\"n\":0,\"pw_value\":[1]}\n{\"n\":1,\"pw_value\":[\"x\"]}\n{\"n\":2,\"pw_value\":5}\n";
    append(&plan, "m_key", Format::Ndjson, rows).await.unwrap();
    assert_eq!(tsv("SELECT n, v FROM m_key ORDER BY n").await, "0\t[1]\n");
    let schema = "SCHEMA >\n    `n` UInt8 `json:$.n`,\n    `item0` Array(Int32) `json:$.item0[:]`,\n    `key0` Map(UInt8, UInt8) `json:$.key0`\n";
    let plan = project(&[("m_item.datasource", schema)]).await;
    let rows = "{\"n\":0,\"item0\":[1],\"key0\":{\"1\":2}}\n{\"n\":1,\"item0\":[\"x\"]}\n{\"n\":2,\"key0\":{\"1\":300}}\n";
    append(&plan, "m_item", Format::Ndjson, rows).await.unwrap();
    assert_eq!(
        tsv("SELECT n, item0, key0 FROM m_item ORDER BY n").await,
        "0\t[1]\t{1:2}\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_do_not_fit_keep_no_others_waiting() {
    let schema = "SCHEMA >\n    `id` UInt32 `json:$.id`,\n    `dec` Decimal(18, 4) `json:$.dec`,\n    `map` Map(Int32, String) `json:$.map`,\n    `kind` Enum8('x' = 2, 'y') `json:$.kind`,\n    `insertion_date` Date `json:$.day`\n";
    let plan = project(&[("m_events.datasource", schema)]).await;
    let table = plan.table("m_events").unwrap();
    let events = Events::new(super::ingest(), EventLimits::default());
    let rows = "{\"id\":1,\"dec\":1e30,\"map\":{},\"kind\":\"x\",\"day\":\"2026-01-02\"}\n{\"id\":2,\"dec\":1,\"map\":{\"x\":\"y\"},\"kind\":\"x\",\"day\":\"2026-01-02\"}\n{\"id\":3,\"dec\":1,\"map\":{\"3\":\"y\"},\"kind\":\"y\",\"day\":\"2026-01-02\"}\n{\"id\":4,\"dec\":1,\"map\":{},\"kind\":\"y\",\"day\":\"x\"}\n";
    let (lines, count) = json_lines(rows.into(), false).unwrap();
    let counts = events.push(table, lines, count, true).await.unwrap();
    events.shutdown().await;
    let expected = Counts {
        successful: 1,
        quarantined: 3,
    };
    assert_eq!(counts, expected);
    assert_eq!(
        tsv("SELECT * EXCEPT insertion_date FROM m_events").await,
        "3\t1\t{3:'y'}\ty\n"
    );
}

#[tokio::test]
async fn a_number_that_is_too_large_is_not_infinite() {
    insta::assert_snapshot!(json("m_f64", "Float64", &["\"1e400\"", "\"-1e400\"", "\"1e308\"", "\"inf\"", "\"-inf\"", "1e300"]).await, @r#"
    "1e400" -> ✗ cannot read as Float64: 1e400
    "-1e400" -> ✗ cannot read as Float64: -1e400
    "1e308" -> 1e308
    "inf" -> inf
    "-inf" -> -inf
    1e300 -> 1e300
    "#);
    insta::assert_snapshot!(json("m_f64s", "Array(Float64)", &["[\"1e400\", 1]", "[\"inf\", \"1e30\", 2]"]).await, @r#"
    ["1e400", 1] -> ✗ cannot read as Array(Float64): ["1e400",1]
    ["inf", "1e30", 2] -> [inf,1e30,2]
    "#);
    insta::assert_snapshot!(json("m_f64_typed", "JSON(a Float64, b.c Nullable(Float64))", &["{\"a\":\"1e400\"}", "{\"b\":{\"c\":\"-1e400\"}}", "{\"a\":\"1e30\",\"d\":\"1e400\"}"]).await, @r#"
    {"a":"1e400"} -> ✗ cannot read as JSON(a Float64, `b.c` Nullable(Float64)): {"a":"1e400"}
    {"b":{"c":"-1e400"}} -> ✗ cannot read as JSON(a Float64, `b.c` Nullable(Float64)): {"b":{"c":"-1e400"}}
    {"a":"1e30","d":"1e400"} -> {"a":1e30,"b":{"c":null},"d":"1e400"}
    "#);
    let schema = "SCHEMA >\n    `n` UInt8,\n    `v` Float64,\n    `w` Array(Float64)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"n\"\n";
    let plan = project(&[("m_f64_csv.datasource", schema)]).await;
    let rows = "0,1e400,[1]\n1,inf,[2]\n2,1e30,\"[\"\"1e400\"\"]\"\n";
    let appended = append(&plan, "m_f64_csv", Format::Csv, rows).await.unwrap();
    assert_eq!(appended.counts.quarantined, 2);
    assert_eq!(tsv("SELECT * FROM m_f64_csv").await, "1\tinf\t[2]\n");
}

#[tokio::test]
async fn intervals_are_numbers_and_vectors_by_bits_are_arrays() {
    insta::assert_snapshot!(json("m_interval", "IntervalDay", &["5", "\"7\"", "1.5", "\"x\"", "-3"]).await, @r#"
    5 -> 5
    "7" -> 7
    1.5 -> ✗ cannot read as Int64: 1.5
    "x" -> ✗ cannot read as Int64: x
    -3 -> -3
    "#);
    insta::assert_snapshot!(json("m_intervals", "Array(Nullable(IntervalHour))", &["[1, null]", "[\"x\"]"]).await, @r#"
    [1, null] -> [1,NULL]
    ["x"] -> ✗ cannot read as Array(Nullable(Int64)): ["x"]
    "#);
    insta::assert_snapshot!(json("m_qbit", "QBit(Float32, 3)", &["[1, 2, 3]", "[1, 2]", "[1, \"x\", 3]", "5"]).await, @r#"
    [1, 2, 3] -> [1,2,3]
    [1, 2] -> ✗ the engine refuses it: Array arguments must have size 3 for QBit conversion, got 2 (SIZES_OF_ARRAYS_DONT_MATCH)
    [1, "x", 3] -> ✗ cannot read as Array(Float32): [1,"x",3]
    5 -> ✗ cannot read as Array(Float32): 5
    "#);
    let schema = "SCHEMA >\n    `n` UInt8 `json:$.n`,\n    `v` IntervalDay `json:$.v` DEFAULT toIntervalDay(9)\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"n\"\n";
    let plan = project(&[("m_interval_default.datasource", schema)]).await;
    let rows = "{\"n\":1}\n{\"n\":2,\"v\":4}\n";
    append(&plan, "m_interval_default", Format::Ndjson, rows)
        .await
        .unwrap();
    assert_eq!(
        tsv("SELECT n, v, toDate('2026-01-01') + v FROM m_interval_default ORDER BY n").await,
        "1\t9\t2026-01-10\n2\t4\t2026-01-05\n"
    );
}

#[tokio::test]
async fn a_whole_number_beyond_the_last_one_is_not_the_last_one() {
    insta::assert_snapshot!(json("m_i64", "Int64", &["-9223372036854775808", "-9223372036854775809", "\"-9223372036854775809\"", "9223372036854775807", "9223372036854775808", "-1e3"]).await, @r#"
    -9223372036854775808 -> -9223372036854775808
    -9223372036854775809 -> ✗ cannot read as Int64: -9223372036854775809
    "-9223372036854775809" -> ✗ cannot read as Int64: -9223372036854775809
    9223372036854775807 -> 9223372036854775807
    9223372036854775808 -> ✗ cannot read as Int64: 9223372036854775808
    -1e3 -> -1000
    "#);
    insta::assert_snapshot!(json("m_u64", "Array(UInt64)", &["[18446744073709551615]", "[18446744073709551616]", "[\"18446744073709551616\"]", "[-1]"]).await, @r#"
    [18446744073709551615] -> [18446744073709551615]
    [18446744073709551616] -> ✗ cannot read as Array(UInt64): ["18446744073709551616"]
    ["18446744073709551616"] -> ✗ cannot read as Array(UInt64): ["18446744073709551616"]
    [-1] -> ✗ cannot read as Array(UInt64): [-1]
    "#);
}

#[tokio::test]
async fn a_decimal_has_no_more_digits_than_its_type() {
    insta::assert_snapshot!(json("m_dec10", "Decimal(10, 3)", &["99999999999", "9999999.999", "10000000", "-10000000", "-9999999.999", "\"0009999999.999\"", "1e7", "9.9999e6"]).await, @r#"
    99999999999 -> ✗ cannot read as Decimal(10, 3): 99999999999
    9999999.999 -> 9999999.999
    10000000 -> ✗ cannot read as Decimal(10, 3): 10000000
    -10000000 -> ✗ cannot read as Decimal(10, 3): -10000000
    -9999999.999 -> -9999999.999
    "0009999999.999" -> 9999999.999
    1e7 -> ✗ cannot read as Decimal(10, 3): 10000000
    9.9999e6 -> 9999900
    "#);
    insta::assert_snapshot!(json("m_dec4", "Decimal(4, 4)", &["0.1234", "1", "-0.5", "0"]).await, @r"
    0.1234 -> 0.1234
    1 -> ✗ cannot read as Decimal(4, 4): 1
    -0.5 -> -0.5
    0 -> 0
    ");
    let schema = "SCHEMA >\n    `n` UInt8,\n    `v` Nullable(Decimal(4, 2)),\n    `w` Array(Decimal(4, 2))\n";
    let plan = project(&[("m_dec_csv.datasource", schema)]).await;
    let rows = "0,99.99,[1.5]\n1,123.4,[]\n2,,\"[1.5,100]\"\n3,,[]\n";
    let appended = append(&plan, "m_dec_csv", Format::Csv, rows).await.unwrap();
    assert_eq!(appended.counts.quarantined, 2);
    assert_eq!(
        tsv("SELECT * FROM m_dec_csv ORDER BY n").await,
        "0\t99.99\t[1.5]\n3\t\\N\t[]\n"
    );
}

#[tokio::test]
async fn what_may_be_null_in_a_container_does_not_become_so() {
    insta::assert_snapshot!(json("m_nulls", "Array(Nullable(UInt8))", &["[1, null, \"7\"]", "[300, null]", "[\"x\"]", "[]", "null", ""]).await, @r#"
    [1, null, "7"] -> [1,NULL,7]
    [300, null] -> ✗ cannot read as Array(Nullable(UInt8)): [300,null]
    ["x"] -> ✗ cannot read as Array(Nullable(UInt8)): ["x"]
    [] -> []
    null -> []
     -> []
    "#);
    insta::assert_snapshot!(json("m_nullmap", "Map(String, Array(Nullable(Date)))", &["{\"a\":[null,\"2020-01-02\"],\"b\":[]}", "{\"a\":[null,\"soon\"]}"]).await, @r#"
    {"a":[null,"2020-01-02"],"b":[]} -> {'a':[NULL,'2020-01-02'],'b':[]}
    {"a":[null,"soon"]} -> ✗ cannot read as Map(String, Array(Nullable(Date))): {"a":[null,"soon"]}
    "#);
    insta::assert_snapshot!(json("m_nulltuple", "Tuple(a Nullable(Int8), b Nullable(String))", &["{\"a\":1}", "{\"a\":300,\"b\":\"x\"}", "{\"b\":\"x\"}", "[null,\"x\"]", "[300,\"x\"]", ""]).await, @r#"
    {"a":1} -> (1,NULL)
    {"a":300,"b":"x"} -> ✗ cannot read as Tuple(a Nullable(Int8), b Nullable(String)): {"a":300,"b":"x"}
    {"b":"x"} -> (NULL,'x')
    [null,"x"] -> (NULL,'x')
    [300,"x"] -> ✗ cannot read as Tuple(a Nullable(Int8), b Nullable(String)): [300,"x"]
     -> (NULL,NULL)
    "#);
    let schema =
        "SCHEMA >\n    `n` UInt8 `json:$.n`,\n    `v` Array(Nullable(UInt8)) `json:$.list[:].x`\n";
    let plan = project(&[("m_nullpath.datasource", schema)]).await;
    let rows =
        "{\"n\":0,\"list\":[{\"x\":1},{},{\"x\":null}]}\n{\"n\":1,\"list\":[{\"x\":300},{}]}\n";
    append(&plan, "m_nullpath", Format::Ndjson, rows)
        .await
        .unwrap();
    assert_eq!(tsv("SELECT * FROM m_nullpath").await, "0\t[1,NULL,NULL]\n");
}
