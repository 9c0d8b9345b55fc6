//! Changes of selected tokens by callers of any kind, through the service.

use std::time::Duration;

use tokenbridge::{
    domain::{
        actor::{Channel, Origin},
        authorization::Denied,
        caller::{Call, Caller},
        cidr::CidrBlocks,
        expiry::Expiry,
        name::TokenName,
        page::{ColumnFilter, TokenFilter},
        permission::PermissionSet,
        precondition::Precondition,
        search::SearchFilter,
        selection::{Selection, SelectionDigest},
        sort::TokenOrder,
        token::TokenId,
    },
    service::{
        Error, Service,
        bulk::BulkChange,
        tokens::{NewToken, TokenRef},
    },
};

use crate::{
    support::{MODIFY, READ, TestEnv},
    tests,
};

tests![
    a_token_changes_only_what_it_may_change_one_by_one,
    a_selection_is_changed_entirely_or_not_at_all,
    a_token_used_since_the_preview_is_not_unused,
];

const ORIGIN: Origin = Origin {
    channel: Channel::ApiTokens,
    client: None,
};

const OPERATOR: Call = Call {
    caller: Caller::CommandLine,
    origin: ORIGIN,
};

async fn create(service: &Service, name: &str, permissions: &[&str]) -> (TokenId, String) {
    let new = NewToken {
        id: None,
        name: name.parse::<TokenName>().unwrap(),
        permissions: Some(PermissionSet::parse(permissions).unwrap()),
        allowed_cidr_blocks: Some(CidrBlocks::default()),
        expires_at: None,
        description: None,
        owner: None,
        disabled: false,
    };
    let (token, value) = service.create(OPERATOR, new, None).await.unwrap();
    (token.id, value.expose().to_owned())
}

async fn digest(service: &Service, selection: &Selection) -> SelectionDigest {
    let preview = service
        .preview(&OPERATOR, selection.clone(), TokenOrder::default())
        .await;
    preview.unwrap().digest
}

fn named(name: &str) -> Selection {
    let search = SearchFilter {
        name: Some(name.to_owned()),
        ..SearchFilter::default()
    };
    Selection::Matching(TokenFilter {
        search,
        ..TokenFilter::default()
    })
}

fn a_token_changes_only_what_it_may_change_one_by_one(env: &TestEnv) {
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        create(&service, "job 1", &[]).await;
        let (strong, _) = create(&service, "job 2", &["AlertRead"]).await;
        let (_, value) = create(&service, "maker", &[READ, MODIFY]).await;
        let caller = service.authenticate_value(&value, ORIGIN).await.unwrap();
        let maker = Call { caller, origin: ORIGIN };
        let jobs = named("job");
        let of_jobs = digest(&service, &jobs).await;
        for bulk in [BulkChange::Delete, BulkChange::SetDisabled(true)] {
            let refused = service
                .change_selected(maker.clone(), jobs.clone(), bulk, of_jobs)
                .await;
            assert!(
                matches!(refused, Err(Error::Forbidden(Denied::TargetPermissions(_)))),
                "{refused:?}"
            );
        }
        let left = service
            .preview(&maker, jobs.clone(), TokenOrder::default())
            .await
            .unwrap();
        assert_eq!((left.count, left.digest), (2, of_jobs));
        assert!(left.first.iter().all(|token| token.disabled_at.is_none()));
        service
            .delete(OPERATOR, TokenRef::Id(strong), Precondition::None)
            .await
            .unwrap();
        let of_jobs = digest(&service, &jobs).await;
        let done = service
            .change_selected(maker, jobs, BulkChange::SetDisabled(true), of_jobs)
            .await;
        assert_eq!(done.unwrap(), 1);
    });
}

fn a_selection_is_changed_entirely_or_not_at_all(env: &TestEnv) {
    let service = env.service();
    actix_web::rt::System::new().block_on(async {
        let mut ids = Vec::new();
        for n in 0..3 {
            ids.push(create(&service, &format!("job {n}"), &[]).await.0);
        }
        let (jobs, by_id) = (named("job"), Selection::Tokens(ids.iter().rev().copied().collect()));
        let of_jobs = digest(&service, &jobs).await;
        // The digest depends on the set alone.
        assert_eq!(digest(&service, &by_id).await, of_jobs);
        let past = service.now();
        let refused = service
            .change_selected(OPERATOR, jobs.clone(), BulkChange::SetExpiry(Expiry::At(past)), of_jobs)
            .await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
        create(&service, "job 4", &[]).await;
        let changed = service
            .change_selected(OPERATOR, jobs.clone(), BulkChange::SetDisabled(true), of_jobs)
            .await;
        assert!(matches!(changed, Err(Error::Conflict(_))), "{changed:?}");
        let preview = service.preview(&OPERATOR, jobs, TokenOrder::default()).await.unwrap();
        assert!(
            preview
                .first
                .iter()
                .all(|token| token.disabled_at.is_none() && token.updated.is_none())
        );
        let done = service
            .change_selected(OPERATOR, by_id.clone(), BulkChange::SetDisabled(true), of_jobs)
            .await;
        assert_eq!(done.unwrap(), 3);
        let again = service
            .change_selected(OPERATOR, by_id, BulkChange::SetDisabled(true), of_jobs)
            .await;
        assert_eq!(again.unwrap(), 0);
    });
}

fn a_token_used_since_the_preview_is_not_unused(env: &TestEnv) {
    let (service, other) = (env.service(), env.service());
    actix_web::rt::System::new().block_on(async {
        let (_, value) = create(&service, "used", &[]).await;
        create(&service, "unused", &[]).await;
        env.clock.advance(Duration::from_hours(1));
        let unused = ColumnFilter {
            unused_since: Some(service.now()),
            ..ColumnFilter::default()
        };
        let unused = Selection::Matching(unused.into());
        let before = digest(&service, &unused).await;
        env.clock.advance(Duration::from_hours(1));
        // Another server has the use in its memory, and flushes it while this one waits.
        other.authenticate_value(&value, ORIGIN).await.unwrap();
        other.flush().await.unwrap();
        let refused = service
            .change_selected(OPERATOR, unused.clone(), BulkChange::Delete, before)
            .await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let preview = service.preview(&OPERATOR, unused, TokenOrder::default()).await.unwrap();
        assert_eq!(preview.count, 1);
    });
}
