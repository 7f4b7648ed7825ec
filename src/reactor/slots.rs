//! A table of fixed size for connections.
//!
//! This file owns places, their generations and the tokens they are polled by. It must not know
//! what is in a place.
//!
//! The surprising fact: in one batch of events an earlier one may close what a later one is about,
//! and the place may have a new tenant by then. The generation tells them apart.

use mio::Token;

use crate::engine::ConnId;

/// Tokens below this are the reactor's own.
const FIRST: usize = 8;
/// `usize` has 32 bits on MIPS: this leaves 19 to the generation.
const SLOT_BITS: u32 = 10;
/// How many connections there may be.
const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// Places for `T`s, each named by a [`ConnId`] for as long as its tenant stays.
#[derive(Debug)]
pub(super) struct Slots<T> {
    rows: Vec<Row<T>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Row<T> {
    generation: usize,
    tenant: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes a tenant in; gives it back when there is no place.
    pub(super) fn insert(&mut self, tenant: T) -> Result<ConnId, T> {
        if let Some(slot) = self.free.pop() {
            if let Some(row) = self.rows.get_mut(slot) {
                row.tenant = Some(tenant);
                return Ok(ConnId {
                    slot,
                    generation: row.generation,
                });
            }
        } else if self.rows.len() < MAX_SLOTS {
            self.rows.push(Row {
                generation: 0,
                tenant: Some(tenant),
            });
            return Ok(ConnId {
                slot: self.rows.len() - 1,
                generation: 0,
            });
        }
        Err(tenant)
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<T> {
        let row = self
            .rows
            .get_mut(id.slot)
            .filter(|row| row.generation == id.generation)?;
        let tenant = row.tenant.take()?;
        row.generation = (row.generation + 1) & (usize::MAX >> (SLOT_BITS + 3));
        self.free.push(id.slot);
        Some(tenant)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let row = self
            .rows
            .get_mut(id.slot)
            .filter(|row| row.generation == id.generation)?;
        row.tenant.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.rows.iter().enumerate().filter_map(|(slot, row)| {
            let id = ConnId {
                slot,
                generation: row.generation,
            };
            row.tenant.as_ref().map(|tenant| (id, tenant))
        })
    }
}

/// The token a connection is polled by.
pub(super) fn token(id: ConnId) -> Token {
    Token(FIRST + (id.slot | (id.generation << SLOT_BITS)))
}

/// The connection a token names; `None` for the reactor's own tokens.
pub(super) fn conn_id(token: Token) -> Option<ConnId> {
    let bits = token.0.checked_sub(FIRST)?;
    Some(ConnId {
        slot: bits & (MAX_SLOTS - 1),
        generation: bits >> SLOT_BITS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_for_an_old_tenant_does_not_reach_the_new_one() {
        let mut slots = Slots::new();
        let first = slots.insert("first").unwrap();
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second").unwrap();
        assert_eq!(first.slot, second.slot);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!(conn_id(token(second)), Some(second));
        assert_eq!(conn_id(Token(0)), None);
    }

    #[test]
    fn a_full_table_gives_the_tenant_back() {
        let mut slots = Slots::new();
        let ids: Vec<ConnId> = (0..MAX_SLOTS).map(|n| slots.insert(n).unwrap()).collect();
        assert_eq!(slots.insert(9_999), Err(9_999));
        slots.remove(ids[7]);
        assert_eq!(slots.iter().count(), MAX_SLOTS - 1);
        assert_eq!(slots.insert(9_999).map(|id| id.slot), Ok(7));
    }
}
