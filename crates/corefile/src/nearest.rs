//! The known word that a misspelt one was probably meant to be.

/// Longest word in characters that is compared; longer ones have no neighbour.
pub const WORD_CHARS_MAX: usize = 64;

/// The known word with the smallest edit distance (insert, delete, replace, swap of neighbours), if that is at most a third of the
/// word's length (at least 1). The first of equals wins.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let chars: Vec<char> = word.chars().flat_map(char::to_lowercase).take(WORD_CHARS_MAX + 1).collect();
    if chars.is_empty() || chars.len() > WORD_CHARS_MAX {
        return None;
    }
    let bound = (chars.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let other: Vec<char> = candidate.chars().take(WORD_CHARS_MAX + 1).collect();
        if candidate == word || other.len() > WORD_CHARS_MAX || other.len().abs_diff(chars.len()) > bound {
            continue;
        }
        let distance = distance(&chars, &other);
        if distance <= bound && best.is_none_or(|(found, _)| distance < found) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut cost = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const KNOWN: [&str; 5] = ["cache", "forward", "log", "loop", "kubernetes"];

    #[test]
    fn a_typo_finds_its_word() {
        assert_eq!(nearest("cahce", KNOWN), Some("cache"));
        assert_eq!(nearest("forwrad", KNOWN), Some("forward"));
        assert_eq!(nearest("Log", KNOWN), Some("log"));
        assert_eq!(nearest("kuberntes", KNOWN), Some("kubernetes"));
    }

    #[test]
    fn a_word_that_is_like_nothing_finds_nothing() {
        assert_eq!(nearest("proxy", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
    }

    #[test]
    fn words_up_to_the_limit_are_compared_and_longer_ones_are_not() {
        let known = "a".repeat(WORD_CHARS_MAX - 1);
        let at_limit = "a".repeat(WORD_CHARS_MAX);
        assert_eq!(nearest(&at_limit, [known.as_str()]), Some(known.as_str()));
        assert_eq!(nearest(&"a".repeat(WORD_CHARS_MAX + 1), [at_limit.as_str()]), None);
    }
}
