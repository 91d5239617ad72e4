//! The format specifications of f-strings: `{x:>10}`, `{x:05d}`, `{x:.2f}`.

use minijinja::Value;

use super::error::{Outcome, value_error};
use super::operators::integer_of;
use super::render::Render;
use super::value::{Number, View, as_number, float_text, plain, to_text, view};

struct Specification {
    fill: char,
    align: Option<char>,
    sign: char,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn parse(text: &str) -> Option<Specification> {
    let characters: Vec<char> = text.chars().collect();
    let mut at = 0;
    let is_align = |character: Option<&char>| matches!(character, Some('<' | '>' | '^' | '='));
    let (mut fill, mut align) = (' ', None);
    if is_align(characters.get(1)) {
        fill = characters[0];
        align = Some(characters[1]);
        at = 2;
    } else if is_align(characters.first()) {
        align = Some(characters[0]);
        at = 1;
    }
    let mut sign = '-';
    if let Some(character @ ('+' | '-' | ' ')) = characters.get(at) {
        sign = *character;
        at += 1;
    }
    if characters.get(at) == Some(&'0') {
        if align.is_none() {
            fill = '0';
            align = Some('=');
        }
        at += 1;
    }
    let number = |at: &mut usize| {
        let start = *at;
        while characters.get(*at).is_some_and(char::is_ascii_digit) {
            *at += 1;
        }
        characters[start..*at]
            .iter()
            .collect::<String>()
            .parse::<usize>()
            .ok()
    };
    let width = number(&mut at).unwrap_or(0);
    let mut grouping = None;
    if let Some(character @ (',' | '_')) = characters.get(at) {
        grouping = Some(*character);
        at += 1;
    }
    let mut precision = None;
    if characters.get(at) == Some(&'.') {
        at += 1;
        precision = Some(number(&mut at)?);
    }
    let kind = characters.get(at).copied();
    (at + usize::from(kind.is_some()) == characters.len()).then_some(Specification {
        fill,
        align,
        sign,
        width,
        grouping,
        precision,
        kind,
    })
}

/// The text of a value by a format specification.
pub(super) fn format(render: &mut Render, value: &Value, specification: &str) -> Outcome<String> {
    if specification.is_empty() {
        return Ok(to_text(value));
    }
    let Some(specification) = parse(specification) else {
        return value_error("the format specification cannot be read");
    };
    render.charge(
        specification
            .width
            .saturating_add(specification.precision.unwrap_or(0)),
    )?;
    let number = match view(&plain(value)) {
        View::Str(_) | View::None => None,
        _ => as_number(value)?,
    };
    let (body, right) = match number {
        Some(number) => (number_text(number, &specification)?, true),
        None if matches!(specification.kind, None | Some('s')) => {
            let text = to_text(value);
            let text = match specification.precision {
                Some(precision) => text.chars().take(precision).collect(),
                None => text,
            };
            (text, false)
        }
        None => return value_error("the format does not fit the value"),
    };
    Ok(aligned(&body, &specification, right))
}

fn number_text(number: Number, specification: &Specification) -> Outcome<String> {
    let precision = specification.precision;
    if precision.is_some_and(|precision| precision > 400) {
        return value_error("the precision is too large");
    }
    let kind = match (specification.kind, number) {
        (Some(kind), _) => kind,
        (None, Number::Int(_)) => 'd',
        (None, Number::Float(_)) if precision.is_some() => 'g',
        (None, Number::Float(_)) => 'r',
    };
    let float = number.float();
    let text = match kind {
        'd' | 'n' => match number {
            Number::Int(number) => number.to_string(),
            Number::Float(_) => return value_error("the format 'd' needs a whole number"),
        },
        'x' | 'X' | 'o' | 'b' => {
            let number = integer_of(number)?;
            let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
            match kind {
                'x' => format!("{sign}{size:x}"),
                'X' => format!("{sign}{size:X}"),
                'o' => format!("{sign}{size:o}"),
                _ => format!("{sign}{size:b}"),
            }
        }
        'f' | 'F' => format!("{float:.*}", precision.unwrap_or(6)),
        '%' => format!("{:.*}%", precision.unwrap_or(6), float * 100.0),
        'e' | 'E' => exponent(float, precision.unwrap_or(6)),
        'g' | 'G' => general(float, precision.unwrap_or(6).max(1)),
        'r' => float_text(float),
        _ => return value_error("the format does not fit a number"),
    };
    let grouped = match specification.grouping {
        Some(mark) => group(&text, mark),
        None => text,
    };
    Ok(match specification.sign {
        '+' if !grouped.starts_with('-') => format!("+{grouped}"),
        ' ' if !grouped.starts_with('-') => format!(" {grouped}"),
        _ => grouped,
    })
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let Some((digits, power)) = text.split_once('e') else {
        return text;
    };
    let power: i32 = power.parse().unwrap_or(0);
    format!(
        "{digits}e{}{:02}",
        if power < 0 { '-' } else { '+' },
        power.abs()
    )
}

fn general(number: f64, precision: usize) -> String {
    let scientific = exponent(number, precision - 1);
    let power: i32 = scientific
        .rsplit_once('e')
        .and_then(|(_, power)| power.parse().ok())
        .unwrap_or(0);
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if power < -4 || power >= limit {
        return match scientific.split_once('e') {
            Some((digits, power)) => format!("{}e{power}", trimmed(digits)),
            None => scientific,
        };
    }
    let places = usize::try_from(limit - 1 - power).unwrap_or(0);
    trimmed(&format!("{number:.places$}"))
}

fn group(text: &str, mark: char) -> String {
    let (sign, rest) = text
        .strip_prefix('-')
        .map_or(("", text), |rest| ("-", rest));
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    let mut out = String::from(sign);
    for (at, digit) in rest[..end].chars().enumerate() {
        if at > 0 && (end - at) % 3 == 0 {
            out.push(mark);
        }
        out.push(digit);
    }
    out + &rest[end..]
}

fn aligned(body: &str, specification: &Specification, right: bool) -> String {
    let missing = specification.width.saturating_sub(body.chars().count());
    let fill = |count: usize| specification.fill.to_string().repeat(count);
    match specification.align.unwrap_or(if right { '>' } else { '<' }) {
        '<' => format!("{body}{}", fill(missing)),
        '^' => format!("{}{body}{}", fill(missing / 2), fill(missing - missing / 2)),
        '=' => {
            let (sign, digits) = match body.strip_prefix(['-', '+', ' ']) {
                Some(digits) => (&body[..1], digits),
                None => ("", body),
            };
            format!("{sign}{}{digits}", fill(missing))
        }
        _ => format!("{}{body}", fill(missing)),
    }
}
