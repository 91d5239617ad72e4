//! What the engine's messages say: the sentence in front, the names in it, and what it thinks was meant.

/// The database of the project's tables.
const DATABASE: &str = "pipewright";

/// What a message says, without the statement that it repeats.
pub(super) fn gist(message: &str) -> String {
    let message = &without_tables(message);
    let ends = [
        " in scope ",
        ": In scope ",
        ". In scope ",
        ". In query ",
        ": while ",
        " while processing: ",
        "\n",
    ];
    let end = ends.iter().filter_map(|end| message.find(end)).min();
    let gist = &message[..end.unwrap_or(message.len())];
    let gist = gist.split(". Expected one of:").next().unwrap_or(gist);
    let gist = gist.trim_end_matches(['.', ':', ' ']);
    gist.strip_suffix(", in").unwrap_or(gist).to_owned()
}

/// A message without the names that the engine gives tables: `__table1.day`.
fn without_tables(message: &str) -> String {
    let mut parts = message.split("__table");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        match rest.strip_prefix('.') {
            Some(column) if rest.len() < part.len() => text.push_str(column),
            _ => {
                text.push_str("__table");
                text.push_str(part);
            }
        }
    }
    text
}

/// A message that begins like ours do, without the database that the author does not see.
pub(super) fn in_lower_case(text: &str) -> String {
    let text = text.replace(&format!("{DATABASE}."), "");
    let mut characters = text.chars();
    // `JOIN on keys …`
    if text.chars().nth(1).is_some_and(char::is_uppercase) {
        return text;
    }
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => text,
    }
}

/// The names that a message quotes, before the statement that it repeats.
pub(super) fn named(message: &str) -> Vec<String> {
    // The apostrophe of a word is no quote.
    let gist = gist(message).replace("n't ", "n’t ");
    let mut names = Vec::new();
    for quote in ['`', '\''] {
        let mut parts = gist.split(quote);
        parts.next();
        while let (Some(name), Some(_)) = (parts.next(), parts.next()) {
            names.push(name.to_owned());
            // `database.table.column` of a qualified name
            let last = name.rsplit('.').next().unwrap_or(name);
            if last != name {
                names.push(last.to_owned());
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The first of `Maybe you meant: ['a', 'b']`.
pub(super) fn suggestion(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Maybe you meant: ['")?;
    rest.split_once('\'').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_split_into_what_it_says_and_what_it_repeats() {
        let message = "Identifier 'x.q' cannot be resolved from table with name x. In scope SELECT x.h FROM a AS x WHERE x.q = 1. Maybe you meant: ['x.h']";
        assert_eq!(
            gist(message),
            "Identifier 'x.q' cannot be resolved from table with name x"
        );
        assert_eq!(named(message), ["x.q", "q"]);
        assert_eq!(suggestion(message), Some("x.h"));
        let message = "Function with name `fooo` does not exist. In scope SELECT fooo(h) FROM a";
        assert_eq!(
            (named(message), suggestion(message)),
            (vec!["fooo".to_owned()], None)
        );
    }
}
