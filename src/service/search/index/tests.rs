use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::domain::permission::Permission;

/// Letters that differ in case, normal form, or length when they are folded.
const TEXTS: &[&str] = &[
    "a",
    "A",
    "b",
    "ab",
    "é",
    "e\u{301}",
    "É",
    "ß",
    "SS",
    "İ",
    "i",
    "ς",
    "Σ",
    "한",
    "가",
    "\u{1112}\u{1161}",
    " ",
    "d0ea6653",
];

fn id(number: u8) -> TokenId {
    // Some IDs begin alike.
    format!("d0ea665{:x}-05e2-4d51-9d89-665cdfe8{number:04x}", number % 4)
        .parse()
        .unwrap()
}

fn text() -> impl Strategy<Value = String> {
    vec(select(TEXTS), 1..4).prop_map(|parts| parts.concat())
}

fn fields() -> impl Strategy<Value = SearchFields> {
    let permissions = vec(select(&Permission::ALL[..3]), 0..3);
    let blocks = vec(select(&["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"][..]), 0..3);
    (text(), proptest::option::of(text()), permissions, blocks).prop_map(|(name, owner, permissions, blocks)| {
        SearchFields {
            id: id(0),
            name,
            owner,
            permissions: permissions
                .into_iter()
                .fold(PermissionSet::default(), |set, one| set.with(one, true)),
            allowed_cidr_blocks: CidrBlocks::parse(blocks).unwrap(),
        }
    })
}

fn filter() -> impl Strategy<Value = SearchFilter> {
    let typed = prop_oneof![
        text(),
        (0..20u8).prop_map(|number| id(number).to_string()),
        Just("\0".to_owned())
    ];
    let network = select(&["10.1.2.3/32", "10.0.0.0/8", "192.0.2.0/24", "::/0"][..]);
    (
        proptest::option::of(typed),
        proptest::option::weighted(0.3, text()),
        proptest::option::weighted(0.3, select(&Permission::ALL[..4])),
        proptest::option::weighted(0.3, network),
    )
        .prop_map(|(text, name, permission, network)| SearchFilter {
            text,
            name,
            permission,
            network: network.map(|network| network.parse().unwrap()),
        })
}

proptest! {
    /// After any changes, the index finds the tokens that match the filter one by one.
    #[test]
    fn the_index_finds_what_matches(
        steps in vec(vec((0..40u8, proptest::option::of(fields())), 0..12), 1..5),
        filters in vec(filter(), 1..6),
    ) {
        let mut index = TokenIndex::default();
        let mut stored = BTreeMap::new();
        for step in steps {
            let (mut changed, mut removed) = (BTreeMap::new(), Vec::new());
            for (number, fields) in step {
                let row = i64::from(number) * 3;
                changed.remove(&row);
                removed.retain(|gone| *gone != id(number));
                match fields {
                    Some(fields) => drop(changed.insert(row, SearchFields { id: id(number), ..fields })),
                    None => removed.push(id(number)),
                }
            }
            removed.sort_unstable();
            stored.retain(|_, token: &mut SearchFields| !removed.contains(&token.id));
            stored.extend(changed.clone());
            index.update(changed.into_iter().collect(), &removed);
        }
        for row in 0..120 {
            prop_assert_eq!(index.contains(row), stored.contains_key(&row));
        }
        for filter in filters {
            let matching = stored.iter().filter(|(_, token)| filter.matches(token));
            let expected: Vec<_> = matching.map(|(row, _)| *row).collect();
            prop_assert_eq!(index.find(&filter), RowSet::from_sorted(expected), "{:?}", filter);
        }
    }
}

#[test]
fn full_blocks_are_split() {
    let token = |row: usize| {
        let fields = SearchFields {
            id: id(0),
            name: format!("token {row}."),
            owner: None,
            permissions: PermissionSet::default(),
            allowed_cidr_blocks: CidrBlocks::default(),
        };
        (i64::try_from(row).unwrap(), fields)
    };
    let named = |name: &str| SearchFilter {
        name: Some(name.to_owned()),
        ..SearchFilter::default()
    };
    let mut index = TokenIndex::default();
    index.update((0..2 * BLOCK_LENGTH).map(|number| token(2 * number)).collect(), &[]);
    // Each block gets one more token than it can hold.
    index.update(vec![token(1), token(2 * BLOCK_LENGTH + 1)], &[]);
    let lengths: Vec<_> = index.blocks.iter().map(|block| block.rows.len()).collect();
    assert_eq!(lengths, [BLOCK_LENGTH, 1, BLOCK_LENGTH, 1]);
    let all = index.find(&named("TOKEN"));
    assert_eq!(all.rows().len(), 2 * BLOCK_LENGTH + 2);
    assert!(all.rows().is_sorted());
    for row in [0, 1, 2, 4 * BLOCK_LENGTH - 2] {
        let found = index.find(&named(&format!("token {row}.")));
        assert_eq!(found.rows(), [i64::try_from(row).unwrap()]);
    }
}
