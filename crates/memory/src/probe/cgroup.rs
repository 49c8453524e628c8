//! `/proc/self/cgroup`: which hierarchy accounts our memory, and where we are in it.
//!
//! If any line lists the controller `memory`, it is version 1, even where a `0::` line stands
//! beside it (hybrid): a controller belongs to one hierarchy at a time.

/// Which hierarchy, and our path in it as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Membership {
    V1(String),
    V2(String),
    None,
}

/// Parses `/proc/self/cgroup`. Lines that are no `id:controllers:path` are skipped: a path may hold
/// anything, newlines included, and the kernel does not escape it here.
pub(super) fn membership(text: &str) -> Membership {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if !path.starts_with('/') {
            continue;
        }
        if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            return Membership::V1(path.to_owned());
        }
        if id == "0" && controllers.is_empty() && unified.is_none() {
            unified = Some(path.to_owned());
        }
    }
    unified.map_or(Membership::None, Membership::V2)
}

/// Our path in the unified hierarchy, whichever accounts memory: pressure files live there.
pub(super) fn unified_path(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_wins_over_a_unified_line_beside_it() {
        let text = "5:devices:/\n4:memory,hugetlb:/a/b\n0::/\n";
        assert_eq!(membership(text), Membership::V1("/a/b".into()));
        assert_eq!(unified_path(text).as_deref(), Some("/"));
    }

    #[test]
    fn a_controller_is_a_whole_word() {
        assert_eq!(
            membership("3:memoryfoo:/x\n0::/y\n"),
            Membership::V2("/y".into())
        );
    }

    #[test]
    fn a_path_may_hold_colons() {
        assert_eq!(membership("0::/a:b:c\n"), Membership::V2("/a:b:c".into()));
    }

    #[test]
    fn nothing_and_nonsense_are_no_group() {
        for text in ["", "\n", "0::", "memory", "x:y", "4:memory:relative\n"] {
            assert_eq!(membership(text), Membership::None, "{text:?}");
        }
    }
}
