//! The functions that `columns(fn=…)` may wrap names in: the engine's aggregate functions with its combinators, and a few conversions.
//!
//! Letters count exactly as they do for the engine: a few names of standard SQL are read in any case, all others and all combinators are not.

/// Ordinary functions of one argument that fit in a list of columns.
const ORDINARY: &[&str] = &[
    "length",
    "lower",
    "toDate",
    "toDateTime",
    "toFloat64",
    "toInt64",
    "toStartOfDay",
    "toStartOfHour",
    "toStartOfMonth",
    "toString",
    "upper",
];

/// What may be appended to the name of an aggregate function, any number of times.
const COMBINATORS: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Array",
    "Distinct",
    "ForEach",
    "If",
    "Map",
    "Merge",
    "OrDefault",
    "OrNull",
    "Resample",
    "SimpleState",
    "State",
    "Tuple",
];

/// Aggregate functions whose names are read as written. Sorted.
const EXACT: &[&str] = &[
    "MVTEncode",
    "ST_AsMVT",
    "aggThrow",
    "any",
    "anyHeavy",
    "anyLast",
    "anyLastRespectNulls",
    "anyLast_respect_nulls",
    "anyRespectNulls",
    "anyValueRespectNulls",
    "any_respect_nulls",
    "argAndMax",
    "argAndMin",
    "argMax",
    "argMin",
    "avgWeighted",
    "boundingRatio",
    "categoricalInformationValue",
    "contingency",
    "corrMatrix",
    "corrStable",
    "covarPop",
    "covarPopMatrix",
    "covarPopStable",
    "covarSamp",
    "covarSampMatrix",
    "covarSampStable",
    "cramersV",
    "cramersVBiasCorrected",
    "cume_dist",
    "deltaSum",
    "deltaSumTimestamp",
    "denseRank",
    "distinctDynamicTypes",
    "distinctJSONPaths",
    "distinctJSONPathsAndTypes",
    "entropy",
    "estimateCompressionRatio",
    "exponentialMovingAverage",
    "exponentialTimeDecayedAvg",
    "exponentialTimeDecayedCount",
    "exponentialTimeDecayedMax",
    "exponentialTimeDecayedSum",
    "firstValueRespectNulls",
    "flameGraph",
    "groupArray",
    "groupArrayInsertAt",
    "groupArrayIntersect",
    "groupArrayLast",
    "groupArrayMovingAvg",
    "groupArrayMovingSum",
    "groupArraySample",
    "groupArraySorted",
    "groupBitAnd",
    "groupBitOr",
    "groupBitXor",
    "groupBitmap",
    "groupBitmapAnd",
    "groupBitmapOr",
    "groupBitmapXor",
    "groupConcat",
    "groupFormat",
    "groupNumericIndexedVector",
    "groupUniqArray",
    "histogram",
    "intervalLengthSum",
    "kurtPop",
    "kurtSamp",
    "lagInFrame",
    "largestTriangleThreeBuckets",
    "lastValueRespectNulls",
    "leadInFrame",
    "lttb",
    "mannWhitneyUTest",
    "maxIntersections",
    "maxIntersectionsPosition",
    "maxMappedArrays",
    "meanZTest",
    "median",
    "medianBFloat16",
    "medianBFloat16Weighted",
    "medianDD",
    "medianDeterministic",
    "medianExact",
    "medianExactHigh",
    "medianExactLow",
    "medianExactWeighted",
    "medianExactWeightedInterpolated",
    "medianGK",
    "medianInterpolatedWeighted",
    "medianTDigest",
    "medianTDigestWeighted",
    "medianTiming",
    "medianTimingWeighted",
    "minMappedArrays",
    "nonNegativeDerivative",
    "percentRank",
    "quantile",
    "quantileBFloat16",
    "quantileBFloat16Weighted",
    "quantileDD",
    "quantileDeterministic",
    "quantileExact",
    "quantileExactExclusive",
    "quantileExactHigh",
    "quantileExactInclusive",
    "quantileExactLow",
    "quantileExactWeighted",
    "quantileExactWeightedInterpolated",
    "quantileGK",
    "quantileInterpolatedWeighted",
    "quantilePrometheusHistogram",
    "quantileTDigest",
    "quantileTDigestWeighted",
    "quantileTiming",
    "quantileTimingWeighted",
    "quantiles",
    "quantilesBFloat16",
    "quantilesBFloat16Weighted",
    "quantilesDD",
    "quantilesDeterministic",
    "quantilesExact",
    "quantilesExactExclusive",
    "quantilesExactHigh",
    "quantilesExactInclusive",
    "quantilesExactLow",
    "quantilesExactWeighted",
    "quantilesExactWeightedInterpolated",
    "quantilesGK",
    "quantilesInterpolatedWeighted",
    "quantilesPrometheusHistogram",
    "quantilesTDigest",
    "quantilesTDigestWeighted",
    "quantilesTiming",
    "quantilesTimingWeighted",
    "rankCorr",
    "retention",
    "sequenceCount",
    "sequenceMatch",
    "sequenceMatchEvents",
    "sequenceNextNode",
    "simpleLinearRegression",
    "singleValueOrNull",
    "skewPop",
    "skewSamp",
    "sparkBar",
    "sparkbar",
    "stddevPop",
    "stddevPopStable",
    "stddevSamp",
    "stddevSampStable",
    "stochasticLinearRegression",
    "stochasticLogisticRegression",
    "studentTTest",
    "studentTTestOneSample",
    "sumCount",
    "sumKahan",
    "sumMapFiltered",
    "sumMapFilteredWithOverflow",
    "sumMapWithOverflow",
    "sumMappedArrays",
    "sumWithOverflow",
    "theilsU",
    "timeSeriesChangesToGrid",
    "timeSeriesDeltaToGrid",
    "timeSeriesDerivToGrid",
    "timeSeriesGroupArray",
    "timeSeriesIncreaseToGrid",
    "timeSeriesInstantDeltaToGrid",
    "timeSeriesInstantRateToGrid",
    "timeSeriesLastToGrid",
    "timeSeriesLastTwoSamples",
    "timeSeriesPredictLinearToGrid",
    "timeSeriesRateToGrid",
    "timeSeriesResampleToGridWithStaleness",
    "timeSeriesResetsToGrid",
    "topK",
    "topKWeighted",
    "uniq",
    "uniqCombined",
    "uniqCombined64",
    "uniqExact",
    "uniqHLL12",
    "uniqUpTo",
    "varPop",
    "varPopStable",
    "varSamp",
    "varSampStable",
    "welchTTest",
    "windowFunnel",
];

/// Aggregate functions whose names are read in any case, here in lower case. Sorted.
const ANY_CASE: &[&str] = &[
    "analysisofvariance",
    "anova",
    "any_value",
    "any_value_respect_nulls",
    "approx_top_count",
    "approx_top_k",
    "approx_top_sum",
    "array_agg",
    "array_concat_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "dense_rank",
    "first_value",
    "first_value_respect_nulls",
    "group_concat",
    "kolmogorovsmirnovtest",
    "lag",
    "last_value",
    "last_value_respect_nulls",
    "lead",
    "max",
    "max_by",
    "min",
    "min_by",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
    "std",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
];

/// More combinators than anyone appends.
const MAX_COMBINATIONS: usize = 32;

/// Whether `columns(fn=name)` may call it.
pub(super) fn is_known(name: &str) -> bool {
    ORDINARY.contains(&name) || is_aggregate(name)
}

/// Takes combinators off the end until the name of an aggregate function is left. Every way to take them off is tried, because one combinator may end like
/// another; how many are tried is bounded, because the name may come with the request.
pub(crate) fn is_aggregate(name: &str) -> bool {
    aggregate_in_lower_case(name).is_some()
}

/// The same name with that of standard SQL in it in lower case; nothing for what is no aggregate function.
pub(crate) fn aggregate_in_lower_case(name: &str) -> Option<String> {
    let mut left = vec![name];
    let mut at = 0;
    while let Some(candidate) = left.get(at).copied() {
        at += 1;
        let lower = candidate.to_ascii_lowercase();
        if EXACT.binary_search(&candidate).is_ok() {
            return Some(name.to_owned());
        }
        if ANY_CASE.binary_search(&lower.as_str()).is_ok() {
            return Some(lower + &name[candidate.len()..]);
        }
        for combinator in COMBINATORS {
            if let Some(shorter) = candidate.strip_suffix(combinator)
                && left.len() < MAX_COMBINATIONS
            {
                left.push(shorter);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregate_functions_are_known_with_their_combinators_in_the_case_of_the_engine() {
        for known in [
            "sum",
            "SUM",
            "sumIf",
            "uniqExactArrayIf",
            "quantileTDigestMerge",
            "groupUniqArrayOrNull",
            "sumMergeOrDefault",
            "countIf",
            "any_value",
            "ST_AsMVT",
            "array_concat_agg",
            "toDate",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "",
            "If",
            "sumif",
            "sumIF",
            "UNIQ",
            "groupuniqarray",
            "sleep",
            "file",
            "sum(",
            "sum)--",
            "sumNull",
            "sum ",
            "todate",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
        assert!(!is_known(&"If".repeat(100_000)));
    }

    #[test]
    fn names_are_sorted() {
        assert!(EXACT.is_sorted() && ANY_CASE.is_sorted());
    }
}
