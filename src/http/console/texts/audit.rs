//! The texts of the audit log.

texts! { AuditTexts:
    token: "Token name or ID", "토큰 이름 또는 ID";
    token_hint: "The exact name, or the first 8 characters of the ID", "정확한 이름 또는 ID의 앞 8자";
    actor_hint: "An admin, a token's ID, or cli", "관리자, 토큰 ID 또는 cli";
    channel: "Via", "채널";
    since: "From (UTC)", "시작(UTC)";
    until: "Before (UTC)", "종료(UTC)";
    period: "Period", "기간";
    all_time: "All time", "전체 기간";
    last_day: "Last 24 hours", "최근 24시간";
    last_week: "Last 7 days", "최근 7일";
    last_month: "Last 30 days", "최근 30일";
    unauthenticated: "Unauthenticated caller", "인증되지 않은 호출자";
    fields: "{} field|{} fields", "항목 {}개";
    clear: "Clear filters", "필터 초기화";
    only_these: "Show only events of {}", "{}의 이벤트만 보기";
    none_found_lead: "A name must match exactly. Search the API tokens for a part of it.", "이름은 정확히 일치해야 합니다. 이름의 일부로 찾으려면 API 토큰에서 검색하세요.";
    search_tokens: "Search the API tokens for '{}'", "API 토큰에서 '{}' 검색";
    previous_page: "Newer events", "더 최근 이벤트";
    next_page: "Older events", "더 오래된 이벤트";
    newest_page: "Newest events", "가장 최근 이벤트";

    disabled_since: "Disabled since", "비활성화 시각";
    grace_period: "Grace period", "유예 기간";
    seconds: "{} second|{} seconds", "{}초";
    with_token: "Token deleted", "토큰 삭제 여부";
    source: "Source", "출처";
    standard_input: "standard input", "표준 입력";
    reason: "Reason", "사유";
    count: "Count", "횟수";
    mode: "Mode", "모드";
    mode_on: "on", "사용";
    mode_read_only: "read-only", "읽기 전용";
    mode_off: "off", "중단";
    deprecation: "Deprecation", "지원 중단 예고";
    sunset: "Sunset", "예고된 종료";
    brownouts: "Brownouts", "브라운아웃(일시 중단)";
    uuid_auth: "UUIDs at the gate", "게이트에서 UUID 허용";
    yes: "yes", "예";
    no: "no", "아니요";
    refused_missing: "No credentials", "인증 정보 없음";
    refused_malformed: "Malformed credentials", "잘못된 형식의 인증 정보";
    refused_different_keys: "Different X-API-Key headers", "서로 다른 X-API-Key 헤더";
    refused_different_authorizations: "Different Authorization headers", "서로 다른 Authorization 헤더";
    refused_different_clients: "Different OAuth clients", "서로 다른 OAuth 클라이언트";
    refused_password: "Wrong user name or password", "잘못된 사용자 이름 또는 비밀번호";
    refused_value: "Unknown token value", "알 수 없는 토큰 값";
    refused_disabled: "Disabled token", "비활성화된 토큰";
    refused_expired: "Expired token", "만료된 토큰";
    refused_address: "Address outside the allowed networks", "허용되지 않은 주소";
    refused_beyond_limit: "Beyond the hourly limit of the audit log", "감사 로그의 시간당 한도 초과";

    token_created: "Token created", "토큰 생성";
    token_updated: "Token changed", "토큰 변경";
    token_disabled: "Token disabled", "토큰 비활성화";
    token_enabled: "Token enabled", "토큰 활성화";
    token_rotated: "Token rotated", "토큰 교체";
    token_reissued: "Value reissued", "값 재발급";
    token_deleted: "Token deleted", "토큰 삭제";
    token_revoked: "Value revoked", "값 폐기";
    token_imported: "Token imported", "토큰 가져오기";
    admin_added: "Admin added", "관리자 추가";
    admin_password_changed: "Password changed", "비밀번호 변경";
    admin_role_changed: "Role changed", "역할 변경";
    admin_removed: "Admin removed", "관리자 제거";
    legacy_phase: "Legacy phase changed", "레거시 단계 변경";
    login_refused: "Sign-in refused", "로그인 거부";

    via_legacy: "Legacy API", "레거시 API";
    via_legacy_before: "Legacy API before 1.5", "레거시 API(1.5 이전)";
    via_api: "API", "API";
    via_graphql: "GraphQL", "GraphQL";
    via_verify: "Gate (/verify)", "게이트(/verify)";
    via_console: "Console", "콘솔";
    via_cli: "CLI", "CLI";
}
