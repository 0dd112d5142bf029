//! Which documents a claim can take, by the names of the due and of the claimed ones.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    iter, slice,
};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use scheduler_core::{
    NodeId,
    store::{Adopt, Claim, Declined, StoreError},
};

use super::{
    call::{Call, Via},
    names::{Entry, Slot, parse_retained, unescape},
    write::Write,
};
use crate::kit::{Document, HoldKind};

impl Call<'_> {
    pub(super) async fn due(
        &self,
        claim: &Claim,
        since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let is_wanted = |Entry { index, .. }: &Entry| {
            let is_due = index.due.is_some_and(|due| due <= now && since.is_none_or(|since| due >= since));
            is_due && index.is_for(claim) && index.is_free(claim, now)
        };
        let claimed = match claim.adopt {
            Adopt::LapsedBy(_) => self.claimed(&self.owners().await?).await?,
            Adopt::Nothing => self.claimed(slice::from_ref(&claim.owner)).await?,
        };
        let mut waiting: BTreeSet<Entry> = claimed.into_iter().filter(is_wanted).collect();
        let mut walk = self.walk(since.map_or(Reach::Until(now), |since| Reach::Between(since, now))).await?;
        let (mut due, mut keys) = (Vec::new(), HashSet::new());
        while due.len() < limit {
            let lacking = limit - due.len();
            // What is claimed may be due later than what is still to be seen of the others.
            while walk.next().is_some_and(|slot| waiting.iter().filter(|it| it.is_before(slot)).count() < lacking) {
                waiting.extend(walk.read().await?.into_iter().filter(is_wanted));
            }
            let batch: Vec<Entry> = iter::from_fn(|| waiting.pop_first()).take(lacking).collect();
            if batch.is_empty() {
                break;
            }
            let read = batch.iter().map(|entry| self.document(entry.key.clone(), Via::Entry(entry)));
            let documents = try_join_all(read).await?;
            self.mend(&batch, &documents).await?;
            // Another node may have written it meanwhile.
            let taken = documents.into_iter().flatten().filter(|it| Entry::of(it).as_ref().is_some_and(is_wanted));
            due.extend(taken.filter(|document| keys.insert(document.key.clone())));
        }
        Ok(due)
    }

    pub(super) async fn next_due(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let is_wanted = |Entry { index, .. }: &Entry| index.is_for(claim) && index.due.is_some_and(|due| due > now);
        let own = self.claimed(slice::from_ref(&claim.owner)).await?.into_iter().filter(is_wanted).min();
        let mut walk = self.walk(Reach::From(now)).await?;
        while let Some(slot) = walk.next() {
            if own.as_ref().is_some_and(|own| own.is_before(slot)) {
                break;
            }
            if let Some(entry) = walk.read().await?.into_iter().filter(is_wanted).min() {
                return Ok(own.into_iter().chain([entry]).filter_map(|entry| entry.index.due).min());
            }
        }
        Ok(own.and_then(|own| own.index.due))
    }

    pub(super) async fn next_claim_end(&self, claim: &Claim) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut owners = self.owners().await?;
        owners.retain(|owner| *owner != claim.owner);
        let entries = self.claimed(&owners).await?;
        let ends = entries.into_iter().filter(|entry| entry.index.is_for(claim)).filter_map(|entry| entry.index.claim);
        Ok(ends.map(|(_, until)| until).min())
    }

    pub(super) async fn declined(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Declined>, StoreError> {
        let mut walk = self.walk(Reach::Until(now)).await?;
        let is_wanted =
            |Entry { index, .. }: &Entry| !index.is_for(claim) && index.claim.is_none() && index.due <= Some(now);
        let mut declined = Vec::new();
        while declined.len() < limit && walk.next().is_some() {
            let entries = walk.read().await?.into_iter().filter(is_wanted);
            let entries: Vec<_> = entries.take(limit - declined.len()).collect();
            let found = self.documents(entries.iter().map(|entry| (entry.key.clone(), Via::Entry(entry)))).await?;
            let found = found.iter().filter(|it| Entry::of(it).as_ref().is_some_and(is_wanted));
            declined.extend(found.map(Document::declined));
        }
        Ok(declined)
    }

    /// The jobs that are over and stay known until a time up to now.
    pub(super) async fn expired(&self, now: DateTime<Utc>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let names = self.children(&self.names().retained()).await?;
        let mut hours: Vec<i64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        hours.retain(|hour| *hour <= Slot::of(now).hour());
        hours.sort_unstable();
        let mut expired = Vec::new();
        for hour in hours {
            let names = self.children(&self.names().retained_in(hour)).await?;
            let entries = names.iter().filter_map(|name| parse_retained(name)).filter(|(until, _)| *until <= now);
            let keys: Vec<String> = entries.map(|(_, key)| key).take(limit - expired.len()).collect();
            let found = self.documents(keys.into_iter().map(|key| (key, Via::Key))).await?;
            expired.extend(found.into_iter().filter(|document| document.index().retained_until.is_some()));
            if expired.len() == limit {
                break;
            }
        }
        Ok(expired)
    }

    async fn owners(&self) -> Result<Vec<NodeId>, StoreError> {
        let names = self.children(&self.names().holders(HoldKind::Claim)).await?;
        Ok(names.iter().filter_map(|name| unescape(name)).map(Into::into).collect())
    }

    async fn claimed(&self, owners: &[NodeId]) -> Result<Vec<Entry>, StoreError> {
        let entries = owners.iter().map(|owner| async move {
            let names = self.children(&self.names().held(HoldKind::Claim, owner)).await?;
            Ok::<_, StoreError>(names.into_iter().filter_map(|name| Entry::parse_claimed(owner, &name)))
        });
        Ok(try_join_all(entries).await?.into_iter().flatten().collect())
    }

    /// Puts entries right that are not as their document has it, since another program has written one without the other.
    /// Looking there each time would cost a call.
    async fn mend(&self, entries: &[Entry], documents: &[Option<Document>]) -> Result<(), StoreError> {
        let is_wrong = |(entry, document): &(&Entry, &Option<Document>)| {
            document.as_ref().and_then(Entry::of).as_ref() != Some(*entry)
        };
        let wrong = entries.iter().zip(documents).filter(is_wrong).map(|(entry, document)| async move {
            let path = self.names().entry(entry);
            // Mostly another node has taken the job, and the entry with it.
            let is_there = self.data(&path).await?.is_some();
            Ok::<_, StoreError>(is_there.then(|| Write::mend(self, &entry.key, document.as_ref(), path)))
        });
        let writes: Vec<Write> = try_join_all(wrong).await?.into_iter().flatten().collect();
        self.write(&writes).await.map(drop)
    }

    async fn walk(&self, reach: Reach) -> Result<Walk<'_>, StoreError> {
        let names = self.children(&self.names().due()).await?;
        let mut hours: Vec<i64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        hours.retain(|hour| reach.has_hour(*hour));
        hours.sort_unstable();
        let mut walk = Walk { call: self, reach, hours: hours.into(), slots: VecDeque::new(), width: 1 };
        walk.fill().await?;
        Ok(walk)
    }
}

/// The part of the time line that a walk looks at.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Until(DateTime<Utc>),
    Between(DateTime<Utc>, DateTime<Utc>),
    From(DateTime<Utc>),
}

impl Reach {
    fn has_hour(self, hour: i64) -> bool {
        match self {
            Self::Until(end) => hour <= Slot::of(end).hour(),
            Self::Between(start, end) => (Slot::of(start).hour()..=Slot::of(end).hour()).contains(&hour),
            Self::From(start) => hour >= Slot::of(start).hour(),
        }
    }

    fn has(self, slot: Slot) -> bool {
        match self {
            Self::Until(end) => slot <= Slot::of(end),
            Self::Between(start, end) => (Slot::of(start)..=Slot::of(end)).contains(&slot),
            Self::From(start) => slot >= Slot::of(start),
        }
    }
}

/// Reads the due entries slot by slot, at first one at a time and then more and more: mostly the first one is enough.
struct Walk<'a> {
    call: &'a Call<'a>,
    reach: Reach,
    hours: VecDeque<i64>,
    slots: VecDeque<Slot>,
    width: usize,
}

/// The most folders that are read at once.
const WIDEST: usize = 64;

impl Walk<'_> {
    /// The first slot that was not read; none if all were.
    fn next(&self) -> Option<Slot> {
        self.slots.front().copied()
    }

    /// The entries of the next slots, in their order.
    async fn read(&mut self) -> Result<Vec<Entry>, StoreError> {
        let slots: Vec<_> = self.slots.drain(..self.width.min(self.slots.len())).collect();
        self.width = WIDEST.min(self.width * 2);
        let call = self.call;
        let names = slots.into_iter().map(|slot| async move { call.children(&call.names().slot(slot)).await });
        let names = try_join_all(names).await?;
        let mut entries: Vec<_> = names.iter().flatten().filter_map(|name| Entry::parse_due(name)).collect();
        entries.sort_unstable();
        self.fill().await?;
        Ok(entries)
    }

    /// Looks up slots, unless there are some.
    async fn fill(&mut self) -> Result<(), StoreError> {
        while self.slots.is_empty() && !self.hours.is_empty() {
            let hours: Vec<_> = self.hours.drain(..self.width.min(self.hours.len())).collect();
            let call = self.call;
            let names = hours.into_iter().map(|hour| async move { call.children(&call.names().hour(hour)).await });
            let names = try_join_all(names).await?;
            let slots = names.iter().flatten().filter_map(|name| name.parse().ok()).map(Slot);
            let mut slots: Vec<_> = slots.filter(|slot| self.reach.has(*slot)).collect();
            slots.sort_unstable();
            self.slots = slots.into();
            if self.slots.is_empty() {
                self.width = WIDEST.min(self.width * 2);
            }
        }
        Ok(())
    }
}
