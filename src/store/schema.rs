// @generated automatically by Diesel CLI.

diesel::table! {
    admins (name) {
        name -> Text,
        password_hash -> Text,
        created_at -> BigInt,
        password_changed_at -> Nullable<BigInt>,
        role -> Text,
        password_origin -> Text,
    }
}

diesel::table! {
    audit_events (seq) {
        seq -> BigInt,
        at -> BigInt,
        actor_type -> Nullable<Text>,
        actor_id -> Nullable<Text>,
        channel -> Text,
        client -> Nullable<Text>,
        action -> Text,
        token_id -> Nullable<Text>,
        details -> Text,
        token_name -> Nullable<Text>,
    }
}

diesel::table! {
    grace_values (value_hash) {
        value_hash -> Binary,
        token_seq -> BigInt,
        valid_until -> BigInt,
    }
}

diesel::table! {
    idempotency_keys (key_hash) {
        key_hash -> Binary,
        payload_hash -> Binary,
        token_id -> Text,
        value_hash -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    legacy_callers (seq) {
        seq -> BigInt,
        prefix -> Text,
        method -> Text,
        actor_type -> Text,
        actor_id -> Text,
        client -> Text,
        user_agent -> Text,
        first_seen -> BigInt,
        last_seen -> BigInt,
        total -> BigInt,
    }
}

diesel::table! {
    legacy_calls (caller_seq, day) {
        caller_seq -> BigInt,
        day -> BigInt,
        calls -> BigInt,
    }
}

diesel::table! {
    legacy_watch (day) {
        day -> BigInt,
        hours -> BigInt,
    }
}

diesel::table! {
    removed_admins (name) {
        name -> Text,
    }
}

diesel::table! {
    revision (id) {
        id -> BigInt,
        value -> BigInt,
        store_id -> Text,
    }
}

diesel::table! {
    sessions (key_hash) {
        key_hash -> Binary,
        admin -> Text,
        begun_at -> BigInt,
        seen_at -> BigInt,
        client -> Nullable<Text>,
        user_agent -> Text,
    }
}

diesel::table! {
    token_uses (token_seq, day, outcome) {
        token_seq -> BigInt,
        day -> BigInt,
        outcome -> Text,
        uses -> BigInt,
        last_at -> BigInt,
        last_channel -> Text,
        last_client -> Nullable<Text>,
    }
}

diesel::table! {
    tokens (seq) {
        seq -> BigInt,
        id -> Text,
        name -> Text,
        permissions -> Text,
        allowed_cidr_blocks -> Text,
        value_hash -> Nullable<Binary>,
        created_at -> BigInt,
        created_by_type -> Text,
        created_by_id -> Text,
        updated_at -> Nullable<BigInt>,
        updated_by_type -> Nullable<Text>,
        updated_by_id -> Nullable<Text>,
        rotated_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        version -> BigInt,
        description -> Nullable<Text>,
        owner -> Nullable<Text>,
        disabled_at -> Nullable<BigInt>,
        value_unclaimed -> Bool,
    }
}

diesel::joinable!(grace_values -> tokens (token_seq));
diesel::joinable!(legacy_calls -> legacy_callers (caller_seq));
diesel::joinable!(sessions -> admins (admin));
diesel::joinable!(token_uses -> tokens (token_seq));

diesel::allow_tables_to_appear_in_same_query!(
    admins,
    audit_events,
    grace_values,
    idempotency_keys,
    legacy_callers,
    legacy_calls,
    legacy_watch,
    removed_admins,
    revision,
    sessions,
    token_uses,
    tokens,
);
