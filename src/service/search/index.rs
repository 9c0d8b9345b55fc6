//! The index: the searched fields of all tokens, packed for a scan.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use memchr::memmem::Finder;

use crate::domain::{
    cidr::CidrBlocks,
    permission::PermissionSet,
    search::{RowSet, SearchFields, SearchFilter, SearchedText, TextOrId},
    text::fold_case,
    token::{TokenId, TokenIdPrefix},
};

/// Maximum number of tokens in a block. A change copies its block.
const BLOCK_LENGTH: usize = 4096;
/// Ends each text, so that none is found across two of them.
const TEXT_END: char = '\0';

/// The searched fields of tokens. Clones share its parts, so they are cheap.
#[derive(Clone, Default)]
pub struct TokenIndex {
    /// In the order of their rows. None is empty.
    blocks: Vec<Arc<Block>>,
    /// The limits of the tokens, each with its number. Limits without a token are kept.
    limits: Arc<HashMap<Limits, u32>>,
}

/// The permissions and CIDR blocks of a token. Most tokens share them with others.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Limits {
    permissions: PermissionSet,
    allowed_cidr_blocks: CidrBlocks,
}

/// Tokens in the order of their rows.
#[derive(Default)]
struct Block {
    rows: Vec<i64>,
    ids: Vec<TokenId>,
    /// The numbers of the tokens' limits.
    limits: Vec<u32>,
    /// For each token its name and its owner, which may be empty, as [`fold_case`] returns them, each before a
    /// [`TEXT_END`].
    text: String,
    /// For each token the ends of its name and owner in `text`.
    ends: Vec<[u32; 2]>,
}

/// A token of a block.
#[derive(Clone, Copy)]
struct IndexedToken<'t> {
    row: i64,
    id: TokenId,
    limits: u32,
    name: &'t str,
    owner: &'t str,
}

/// What a filter looks for in the blocks.
struct Scan {
    text: Option<TextScan>,
    name: Option<Vec<Finder<'static>>>,
    /// For each number, whether tokens with these limits match.
    limits: Vec<bool>,
}

enum TextScan {
    Id(TokenId),
    Text(Vec<Finder<'static>>, Option<TokenIdPrefix>),
}

impl TokenIndex {
    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.rows.len()).sum()
    }

    /// Returns `true` if there is a token in this row.
    pub fn contains(&self, row: i64) -> bool {
        let is_before = |block: &Arc<Block>| block.rows.last().is_some_and(|last| *last < row);
        let block = self.blocks.get(self.blocks.partition_point(is_before));
        block.is_some_and(|block| block.rows.binary_search(&row).is_ok())
    }

    /// Adds tokens, each with its row, or replaces those that are there. Removes those
    /// in `removed`, whose IDs must be sorted.
    pub fn update(&mut self, tokens: Vec<(i64, SearchFields)>, removed: &[TokenId]) {
        let mut changes = BTreeMap::new();
        if !removed.is_empty() {
            let rows = self.blocks.iter().flat_map(|block| block.rows_of(removed));
            changes.extend(rows.map(|row| (row, None)));
        }
        changes.extend(tokens.into_iter().map(|(row, token)| (row, Some(self.fold(token)))));
        let mut blocks = std::mem::take(&mut self.blocks).into_iter().peekable();
        if blocks.peek().is_none() {
            self.blocks.extend(Block::default().merge(changes));
            return;
        }
        while let Some(block) = blocks.next() {
            let later = blocks.peek().and_then(|next| next.rows.first());
            let later = later.map(|first| changes.split_off(first)).unwrap_or_default();
            let own = std::mem::replace(&mut changes, later);
            if own.is_empty() {
                self.blocks.push(block);
            } else {
                self.blocks.extend(block.merge(own));
            }
        }
    }

    /// Returns the rows of the tokens that match a filter.
    pub fn find(&self, filter: &SearchFilter) -> RowSet {
        let scan = self.scan_for(filter);
        let mut rows = Vec::new();
        for block in &self.blocks {
            block.find(&scan, &mut rows);
        }
        RowSet::from_sorted(rows)
    }

    fn fold(&mut self, token: SearchFields) -> FoldedToken {
        let SearchFields {
            id,
            name,
            owner,
            permissions,
            allowed_cidr_blocks,
        } = token;
        let limits = Limits {
            permissions,
            allowed_cidr_blocks,
        };
        let limits = if let Some(number) = self.limits.get(&limits) {
            *number
        } else {
            let known = Arc::make_mut(&mut self.limits);
            let number = u32::try_from(known.len()).unwrap_or(u32::MAX);
            known.insert(limits, number);
            number
        };
        FoldedToken {
            id,
            limits,
            name: fold_case(&name),
            owner: owner.as_deref().map(fold_case).unwrap_or_default(),
        }
    }

    fn scan_for(&self, filter: &SearchFilter) -> Scan {
        // Exhaustive: a filter that is ignored would find too much.
        let SearchFilter {
            text,
            name,
            permission,
            network,
        } = filter;
        let mut limits = vec![false; self.limits.len()];
        for (known, number) in self.limits.iter() {
            let matches = permission.is_none_or(|permission| known.permissions.contains(permission))
                && network.is_none_or(|network| known.allowed_cidr_blocks.allow_part_of(&network));
            if let Some(place) = limits.get_mut(*number as usize) {
                *place = matches;
            }
        }
        let text = text.as_deref().map(|text| match TextOrId::new(text) {
            TextOrId::Id(id) => TextScan::Id(id),
            TextOrId::Text(text, prefix) => TextScan::Text(finders(&text), prefix),
        });
        let name = name.as_deref().map(|name| finders(&SearchedText::new(name)));
        Scan { text, name, limits }
    }
}

fn finders(text: &SearchedText) -> Vec<Finder<'static>> {
    let forms = text.forms().filter(|form| !form.contains(TEXT_END));
    forms.map(|form| Finder::new(form).into_owned()).collect()
}

/// A token with its texts as [`fold_case`] returns them.
struct FoldedToken {
    id: TokenId,
    limits: u32,
    name: String,
    owner: String,
}

impl Block {
    fn with(mut self, token: IndexedToken<'_>) -> Self {
        let IndexedToken {
            row,
            id,
            limits,
            name,
            owner,
        } = token;
        self.rows.push(row);
        self.ids.push(id);
        self.limits.push(limits);
        let ends = [name, owner].map(|text| {
            self.text.push_str(text);
            let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
            self.text.push(TEXT_END);
            end
        });
        self.ends.push(ends);
        self
    }

    fn tokens(&self) -> impl Iterator<Item = IndexedToken<'_>> {
        let mut start = 0;
        let fields = self.rows.iter().zip(&self.ids).zip(&self.limits).zip(&self.ends);
        fields.map(move |(((row, id), limits), [name_end, owner_end])| {
            let mut text = |end: &u32| {
                let end = *end as usize;
                let text = self.text.get(start..end).unwrap_or_default();
                start = end + TEXT_END.len_utf8();
                text
            };
            IndexedToken {
                row: *row,
                id: *id,
                limits: *limits,
                name: text(name_end),
                owner: text(owner_end),
            }
        })
    }

    /// Returns the rows of these tokens, whose IDs must be sorted.
    fn rows_of(&self, ids: &[TokenId]) -> impl Iterator<Item = i64> {
        let tokens = self.rows.iter().zip(&self.ids);
        tokens
            .filter(|(_, id)| ids.binary_search(id).is_ok())
            .map(|(row, _)| *row)
    }

    /// Returns the blocks that replace this one after changes: a row without a token is removed.
    fn merge(&self, changes: BTreeMap<i64, Option<FoldedToken>>) -> impl Iterator<Item = Arc<Self>> {
        let mut merged = MergedBlocks::default();
        let mut changes = changes.into_iter().peekable();
        for token in self.tokens() {
            while let Some((row, change)) = changes.next_if(|(row, _)| *row < token.row) {
                merged.push_change(row, change.as_ref());
            }
            match changes.next_if(|(row, _)| *row == token.row) {
                Some((row, change)) => merged.push_change(row, change.as_ref()),
                None => merged.push(token),
            }
        }
        for (row, change) in changes {
            merged.push_change(row, change.as_ref());
        }
        merged.0.into_iter().map(|mut block| {
            block.text.shrink_to_fit();
            Arc::new(block)
        })
    }

    fn find(&self, scan: &Scan, rows: &mut Vec<i64>) {
        let has_limits = |number: &u32| scan.limits.get(*number as usize) == Some(&true);
        let mut matches: Vec<bool> = self.limits.iter().map(has_limits).collect();
        match &scan.text {
            None => {}
            Some(TextScan::Id(searched)) => retain(&mut matches, self.ids.iter().map(|id| id == searched)),
            Some(TextScan::Text(finders, prefix)) => {
                let mut found = self.search(finders, false);
                if let Some(prefix) = prefix {
                    for (found, id) in found.iter_mut().zip(&self.ids) {
                        *found |= prefix.contains(*id);
                    }
                }
                retain(&mut matches, found);
            }
        }
        if let Some(finders) = &scan.name {
            retain(&mut matches, self.search(finders, true));
        }
        let found = self.rows.iter().zip(matches).filter(|(_, matches)| *matches);
        rows.extend(found.map(|(row, _)| row));
    }

    /// Returns for each token whether one of the texts is in its name or, unless only names are searched, in its owner.
    fn search(&self, finders: &[Finder<'_>], only_names: bool) -> Vec<bool> {
        let mut found = vec![false; self.rows.len()];
        for finder in finders {
            for place in finder.find_iter(self.text.as_bytes()) {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                let token = self.ends.partition_point(|[_, owner_end]| *owner_end < place);
                if let (Some(found), Some([name_end, _])) = (found.get_mut(token), self.ends.get(token)) {
                    *found |= !only_names || place < *name_end;
                }
            }
        }
        found
    }
}

/// The blocks that a merge has made so far. None is empty.
#[derive(Default)]
struct MergedBlocks(Vec<Block>);

impl MergedBlocks {
    fn push(&mut self, token: IndexedToken<'_>) {
        let block = match self.0.pop() {
            Some(last) if last.rows.len() < BLOCK_LENGTH => last,
            full => {
                self.0.extend(full);
                Block::default()
            }
        };
        self.0.push(block.with(token));
    }

    fn push_change(&mut self, row: i64, change: Option<&FoldedToken>) {
        if let Some(FoldedToken {
            id,
            limits,
            name,
            owner,
        }) = change
        {
            self.push(IndexedToken {
                row,
                id: *id,
                limits: *limits,
                name,
                owner,
            });
        }
    }
}

/// Unsets the matches that were not found.
fn retain(matches: &mut [bool], found: impl IntoIterator<Item = bool>) {
    for (matches, found) in matches.iter_mut().zip(found) {
        *matches &= found;
    }
}

#[cfg(test)]
mod tests;
