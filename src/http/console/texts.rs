//! The texts of the console, in each language.
//!
//! `{}` is a placeholder for [`fill`](super::text::fill). In a text for
//! [`count`](super::text::count), `|` separates the singular from the plural.

macro_rules! texts {
    ($texts:ident: $($name:ident: $english:literal, $korean:literal;)*) => {
        /// The texts of a language. A missing translation is a compile error.
        pub struct $texts { $(pub $name: &'static str,)* }
        pub(in crate::http::console) static ENGLISH: $texts = $texts { $($name: $english,)* };
        pub(in crate::http::console) static KOREAN: $texts = $texts { $($name: $korean,)* };

        #[cfg(test)]
        pub(in crate::http::console) const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $korean),)*];
    };
}

pub mod account;
pub mod audit;
pub mod legacy;
pub mod overview;
pub mod token;

texts! { Texts:
    skip: "Skip to the content", "본문 바로가기";
    navigation: "Main", "주 메뉴";
    overview: "Overview", "개요";
    account: "Your account: {}", "내 계정: {}";
    tokens: "API tokens", "API 토큰";
    admins: "Admins", "관리자";
    audit: "Audit log", "감사 로그";
    legacy: "Legacy API", "레거시 API";
    language: "Language", "언어";
    api: "API", "API";
    api_documentation: "API documentation", "API 문서";
    playground: "Playground", "플레이그라운드";
    sign_out: "Sign out", "로그아웃";
    sign_in: "Sign in", "로그인";
    sign_in_lead: "Sign in with an admin's name and password.", "관리자 이름과 비밀번호로 로그인하세요.";
    user_name: "User name", "사용자 이름";
    password: "Password", "비밀번호";
    sign_in_wrong: "The user name or password is wrong.", "사용자 이름 또는 비밀번호가 올바르지 않습니다.";
    sign_in_throttled: "Too many failed attempts. Try again in {} second.|Too many failed attempts. Try again in {} seconds.", "인증에 여러 번 실패했습니다. {}초 후에 다시 시도하세요.";
    session_over: "Your session has ended. Sign in to continue.", "세션이 종료되었습니다. 계속하려면 다시 로그인하세요.";
    session_ends: "Your session ends in less than 5 minutes.", "세션이 5분 이내에 종료됩니다.";
    session_ended: "Your session has ended.", "세션이 종료되었습니다.";
    stay_signed_in: "Stay signed in", "로그인 유지";

    done_changed: "Changes saved.", "변경 사항을 저장했습니다.";
    done_disabled: "The token has been disabled. Every use is refused until you enable it.", "토큰을 비활성화했습니다. 다시 활성화할 때까지 사용할 수 없습니다.";
    done_enabled: "The token has been enabled.", "토큰을 활성화했습니다.";
    done_deleted: "The token has been deleted and no longer works.", "토큰을 삭제했습니다. 이 토큰은 이제 사용할 수 없습니다.";
    done_admin_added: "The admin has been added.", "관리자를 추가했습니다.";
    done_password_changed: "The password has been changed, and all sessions of that admin have ended.", "비밀번호를 변경했습니다. 해당 관리자의 모든 세션이 종료되었습니다.";
    done_role_changed: "The role has been changed.", "역할을 변경했습니다.";
    done_admin_removed: "The admin has been removed.", "관리자를 제거했습니다.";
    done_signed_out: "You have signed out.", "로그아웃했습니다.";

    none_yet: "You haven't created any tokens yet", "아직 생성한 토큰이 없습니다";
    none_yet_lead: "A token lets a program call the API, with only the permissions that it needs.", "토큰을 사용하면 프로그램이 필요한 권한만으로 API를 호출할 수 있습니다.";
    create_token: "Create an API token", "API 토큰 생성";
    none_found: "No tokens match", "조건에 맞는 토큰이 없습니다";
    none_found_lead: "Change the search or the filters, or show all tokens.", "검색어나 필터를 바꾸거나 모든 토큰을 표시하세요.";
    show_all: "Show all tokens", "모든 토큰 보기";
    search: "Find a token by name, owner, ID, or value", "이름, 담당자, ID, 값으로 토큰 찾기";
    search_button: "Search", "검색";
    more_filters: "More filters", "필터 더 보기";
    creator: "Created by", "생성자";
    creator_example: "Admin name, token ID, or cli", "관리자 이름, 토큰 ID 또는 cli";
    permission: "Permission", "권한";
    network: "Usable from", "사용 가능한 주소";
    searched: "Search", "검색어";
    active_filters: "Filters in effect", "적용된 필터";
    remove_filter: "Remove the filter {}", "'{}' 필터 해제";
    bad_network_filter: "'{}' is neither an address nor a CIDR block. Enter one such as 10.0.0.7 or 10.0.0.0/8.", "주소나 CIDR 블록이 아닙니다: {}. 10.0.0.7 또는 10.0.0.0/8 형식으로 입력하세요.";
    bad_permission_filter: "There is no permission '{}'. Choose one from the list.", "알 수 없는 권한입니다: {}. 목록에서 선택하세요.";
    value_incomplete: "This is not a valid token value. Paste all 53 characters, starting with tbk_.", "올바른 토큰 값이 아닙니다. tbk_로 시작하는 53자를 모두 붙여 넣으세요.";
    value_unknown: "No token has this value. It may have been rotated or deleted.", "이 값을 가진 토큰이 없습니다. 교체되었거나 삭제되었을 수 있습니다.";
    value_in_link: "This link contained a token value. Rotate that token if others may have seen the link, and paste values only into the search box.", "링크에 토큰 값이 포함되어 있었습니다. 다른 사람이 링크를 보았을 가능성이 있으면 해당 토큰을 교체하세요. 값은 검색창에만 붙여 넣으세요.";
    show: "Status", "상태";
    sort: "Sort by", "정렬";
    apply: "Apply", "적용";
    show_every: "All tokens", "모든 토큰";
    show_active: "Active", "활성";
    show_disabled: "Disabled", "비활성";
    show_expired: "Expired", "만료됨";
    show_expiring: "Expiring within 30 days", "30일 이내 만료";
    show_never_used: "Never used", "사용 기록 없음";
    show_unused: "Unused for 90 days", "90일간 미사용";
    show_rotation_due: "Rotation due", "교체 필요";
    show_legacy: "Legacy", "레거시";
    sort_newest: "Newest first", "최신순";
    sort_oldest: "Oldest first", "오래된 순";
    sort_name: "Name, A to Z", "이름 오름차순";
    sort_name_back: "Name, Z to A", "이름 내림차순";
    sort_unused_first: "Least recently used", "마지막 사용이 오래된 순";
    sort_used_first: "Most recently used", "최근 사용순";
    sort_expires_last: "Expires, latest first", "만료일이 늦은 순";
    sort_expires_first: "Expires, soonest first", "만료일이 빠른 순";
    name: "Name", "이름";
    permissions: "Permissions", "권한";
    allowed_networks: "Allowed networks", "허용 네트워크";
    created: "Created", "생성일";
    last_used: "Last used", "마지막 사용";
    rotated: "Rotated", "마지막 교체";
    expires: "Expires", "만료일";
    actions: "Actions", "작업";
    actions_for: "Actions for {}", "{} 작업";
    and_more: "and {} more", "외 {}개";
    everywhere: "Any address", "모든 주소";
    no_permissions: "None", "없음";
    never: "Never", "없음";
    by: "by {}", "수행자: {}";
    by_token: "by a token", "수행자: 토큰";
    by_command_line: "via CLI", "수행자: CLI";
    edit: "Edit", "편집";
    rotate: "Rotate", "교체";
    delete: "Delete", "삭제";
    disable: "Disable", "비활성화";
    enable: "Enable", "활성화";
    permission_count: "{} permission|{} permissions", "권한 {}개";
    network_count: "{} network|{} networks", "네트워크 {}개";
    range: "{}–{} of {}", "{}–{} / 전체 {}개";
    range_of: "{} tokens", "전체 {}개";
    previous_page: "Previous page", "이전 페이지";
    next_page: "Next page", "다음 페이지";
    first_page: "First page", "첫 페이지";
    pages: "Pages", "페이지";
    pages_above: "Pages, above the list", "페이지(목록 위)";
    selection: "Selection", "선택";
    select_token: "Select {}", "'{}' 선택";
    select_page: "Select this page", "이 페이지 선택";
    select_all: "Select the {} token that matches|Select all {} tokens that match", "조건에 맞는 토큰 {}개 모두 선택";
    select_too_many: "More than {} tokens match. Narrow the filter to select all of them.", "조건에 맞는 토큰이 {}개를 넘습니다. 모두 선택하려면 조건을 좁히세요.";
    selected: "{} selected", "{}개 선택됨";
    none_selected: "Select at least one token first.", "먼저 토큰을 하나 이상 선택하세요.";
    bulk_actions: "Change the selected tokens", "선택한 토큰 변경";
    set_expiry: "Set expiry", "만료일 설정";
    bulk_disable: "Disable {} token?|Disable {} tokens?", "토큰 {}개를 비활성화할까요?";
    bulk_disable_lead: "Every use of these tokens is refused until you enable them again.", "다시 활성화할 때까지 토큰을 사용할 수 없습니다.";
    bulk_enable: "Enable {} token?|Enable {} tokens?", "토큰 {}개를 활성화할까요?";
    bulk_enable_lead: "These tokens can be used again, unless they have expired.", "만료되지 않은 토큰은 다시 사용할 수 있습니다.";
    bulk_expiry: "Set the expiry of {} token?|Set the expiry of {} tokens?", "토큰 {}개의 만료일을 설정할까요?";
    bulk_expiry_lead: "These tokens stop working at the time that you choose.", "선택한 시각이 되면 토큰을 사용할 수 없습니다.";
    bulk_delete: "Delete {} token?|Delete {} tokens?", "토큰 {}개를 삭제할까요?";
    bulk_delete_lead: "Anything using these tokens stops working immediately, including through the legacy API. This cannot be undone.", "선택한 토큰을 사용하는 모든 요청이 레거시 API에서도 즉시 거부됩니다. 되돌릴 수 없습니다.";
    bulk_type_number: "Type {} to confirm", "삭제하려면 다음 숫자를 입력하세요: {}";
    bulk_wrong_number: "That is not the number of selected tokens.", "선택한 토큰 수와 일치하지 않습니다.";
    bulk_selection_changed: "The matching tokens have changed since you opened the page, so nothing was changed. Check the selection again.", "이 페이지를 연 뒤 조건에 맞는 토큰이 달라져 아무것도 변경하지 않았습니다. 선택한 토큰을 다시 확인하세요.";
    bulk_changed: "{} token has been changed.|{} tokens have been changed.", "토큰 {}개를 변경했습니다.";
    bulk_disabled: "{} token has been disabled.|{} tokens have been disabled.", "토큰 {}개를 비활성화했습니다.";
    bulk_enabled: "{} token has been enabled.|{} tokens have been enabled.", "토큰 {}개를 활성화했습니다.";
    bulk_deleted: "{} token has been deleted.|{} tokens have been deleted.", "토큰 {}개를 삭제했습니다.";
    expiry_in_days: "In {} day|In {} days", "{}일 후";
    expiry_at: "At the time below", "아래에 입력한 시각";
    expiry_time: "Time (UTC)", "시각(UTC)";
    badge_disabled: "Disabled", "비활성";
    badge_expired: "Expired", "만료됨";
    badge_expiring: "Expiring", "곧 만료";
    badge_legacy: "Legacy", "레거시";
    badge_never_used: "Never used", "사용 기록 없음";
    badge_unused: "Unused for 90 days", "90일간 미사용";
    badge_rotation_due: "Rotation due", "교체 필요";
    hint_disabled: "Every use is refused. Enable it again, or delete it.", "사용할 수 없는 상태입니다. 다시 활성화하거나 삭제하세요.";
    hint_expired: "It no longer works. Set a new expiry, or delete it.", "만료되어 사용할 수 없습니다. 만료일을 변경하거나 삭제하세요.";
    hint_expiring: "It stops working within 30 days.", "30일 이내에 만료됩니다.";
    hint_legacy: "It has no value yet, so only the legacy API can use it. Rotate it to issue one.", "아직 값이 없어 레거시 API에서만 사용할 수 있습니다. 교체하면 값이 발급됩니다.";
    hint_never_used: "It has not been used yet.", "아직 한 번도 사용되지 않았습니다.";
    hint_unused: "It has not been used for 90 days. Check whether it is still needed.", "90일 동안 사용되지 않았습니다. 아직 필요한지 확인하세요.";
    hint_rotation_due: "Its value is more than 90 days old. CIS and NIST recommend rotating it.", "값이 발급된 지 90일이 지났습니다. CIS와 NIST는 교체를 권고합니다.";

    new_token: "New API token", "새 API 토큰";
    edit_token: "Edit '{}'", "'{}' 토큰 편집";
    name_hint: "What will use it, and where: 1 to 255 characters.", "어디에서 어떤 프로그램이 사용할 토큰인지 입력하세요. 1~255자.";
    description: "Description", "설명";
    description_hint: "Optional. What the token is for, up to 1,000 characters.", "선택 사항입니다. 토큰의 용도를 입력하세요. 최대 1,000자.";
    owner: "Owner", "담당자";
    owner_hint: "Optional. The person or team to ask about the token.", "선택 사항입니다. 이 토큰에 대해 문의할 사람이나 팀을 입력하세요.";
    permissions_hint: "Grant only what is needed. Without permissions a token can only read and rotate itself.", "꼭 필요한 권한만 선택하세요. 권한을 선택하지 않으면 자기 자신만 조회하고 교체할 수 있습니다.";
    find_permission: "Find a permission", "권한 찾기";
    group_tokens: "API tokens and users", "API 토큰 및 사용자";
    group_alerts: "Alerts and detections", "알림 및 탐지";
    group_data: "Data and sources", "데이터 및 소스";
    group_ai: "AI and MCP", "AI 및 MCP";
    group_settings: "Settings and delivery", "설정 및 전달";
    blocks: "Allowed networks (CIDR)", "허용 네트워크(CIDR)";
    blocks_hint: "One per line, such as 10.0.0.0/8 or 2001:db8::/32. Left empty, the token can be used from any address.", "한 줄에 하나씩 입력하세요. 예: 10.0.0.0/8 또는 2001:db8::/32. 비워 두면 모든 주소에서 사용할 수 있습니다.";
    blocks_good: "{} valid network|{} valid networks", "유효한 네트워크 {}개";
    blocks_saved_as: "{} will be saved as {}", "저장되는 값: {} → {}";
    blocks_bad: "{} is not a CIDR block", "CIDR 블록이 아닙니다: {}";
    blocks_write: "; use {}", ". {} 형식으로 입력하세요";
    expires_at: "Expiry", "만료일";
    text_too_long: "{}: enter at most {} characters. There are {}.", "{}: 최대 {}자까지 입력할 수 있습니다. 현재 {}자입니다.";
    text_invisible: "{}: remove the invisible character {}.", "{}: 보이지 않는 문자({})를 제거하세요.";
    text_blank: "{}: enter at least one visible character.", "{}: 눈에 보이는 문자를 하나 이상 입력하세요.";
    text_colon: "{}: remove the colon, which ends the user name in HTTP Basic.", "{}: 콜론(:)을 제거하세요. HTTP Basic에서는 콜론 앞까지가 사용자 이름입니다.";
    too_many_blocks: "Enter at most 100 networks.", "네트워크는 최대 100개까지 입력할 수 있습니다.";
    bad_expiry: "Enter a time in the future.", "현재 이후의 시각을 입력하세요.";
    bad_permissions: "One of these is not a permission.", "알 수 없는 권한이 있습니다.";
    please_correct: "Not saved yet. Correct the following:", "아직 저장되지 않았습니다. 다음 항목을 수정하세요:";
    create: "Create", "생성";
    save: "Save", "저장";
    cancel: "Cancel", "취소";
    details: "Details", "세부 정보";
    updated: "Changed", "변경일";

    created_title: "Token created", "토큰을 생성했습니다";
    rotated_title: "Token rotated", "토큰을 교체했습니다";
    value: "Token value", "토큰 값";
    value_once: "Copy it now. You won't see it again.", "지금 복사하세요. 다시 표시되지 않습니다.";
    copy: "Copy", "복사";
    copied: "Copied", "복사됨";
    try_it: "Try it in the playground", "플레이그라운드에서 사용해 보기";
    done: "Done", "완료";
    old_value_ended: "The old value no longer works.", "이전 값은 더 이상 사용할 수 없습니다.";
    old_value_works: "The old value works until {}.", "이전 값은 {}까지 사용할 수 있습니다.";
    first_value: "This is its first value. The legacy API keeps working as before.", "이 토큰의 첫 번째 값입니다. 레거시 API는 그대로 동작합니다.";
    use_it: "Send it in the X-API-Key header:", "X-API-Key 헤더에 넣어 사용하세요:";
    already_created: "This token already exists. Its value was shown once and cannot be shown again. If you did not copy it, rotate the token.", "이미 생성된 토큰입니다. 값은 한 번만 표시되며 다시 볼 수 없습니다. 복사하지 못했다면 토큰을 교체하세요.";
    already_rotated: "This token has changed since you opened the page, so it was not rotated. If you already rotated it here, its value was shown once. If you did not copy it, rotate the token again.", "이 페이지를 연 뒤 토큰이 변경되어 교체하지 않았습니다. 이미 교체했다면 새 값은 그때 한 번만 표시되었습니다. 복사하지 못했다면 다시 교체하세요.";

    rotate_token: "Rotate '{}'?", "'{}' 토큰을 교체할까요?";
    rotate_lead: "The token gets a new value, which is shown once. Anything using the old value must switch to the new one.", "교체(회전)하면 새 값이 발급되어 한 번만 표시됩니다. 이전 값을 사용하는 곳은 모두 새 값으로 바꿔야 합니다.";
    rotate_legacy: "The token has no value yet. It gets its first one, which is shown once and works in the X-API-Key header. Its ID stays the same.", "아직 값이 없는 토큰입니다. 교체(회전)하면 첫 번째 값이 발급되어 한 번만 표시되며, X-API-Key 헤더에 사용할 수 있습니다. ID는 그대로 유지됩니다.";
    grace: "Keep the old value working for", "이전 값 유예 기간";
    rotate_limit: "{} earlier values of this token still work. End one of them on the page of the token, or choose 'None – revoke now' to end them all.", "이 토큰의 이전 값 {}개가 아직 유효합니다. 토큰 페이지에서 이전 값을 종료하거나, '없음 – 즉시 폐기'를 선택해 모두 폐기하세요.";
    grace_none: "None – revoke now", "없음 – 즉시 폐기";
    grace_hour: "1 hour", "1시간";
    grace_day: "1 day", "1일";
    grace_week: "7 days", "7일";

    delete_token: "Delete '{}'?", "'{}' 토큰을 삭제할까요?";
    delete_lead: "Anything using this token stops working immediately, including through the legacy API. This cannot be undone.", "이 토큰을 사용하는 모든 요청이 레거시 API에서도 즉시 거부됩니다. 되돌릴 수 없습니다.";
    delete_confirm: "Type the name of the token to delete it", "삭제하려면 토큰 이름을 입력하세요";
    delete_wrong: "That is not the name of this token.", "토큰 이름이 일치하지 않습니다.";

    admins_lead: "Admins sign in here, and with HTTP Basic on both APIs. What they can do depends on their role.", "관리자는 여기에서 로그인하고 두 API에서는 HTTP Basic으로 인증합니다. 할 수 있는 작업은 역할에 따라 다릅니다.";
    role: "Role", "역할";
    role_admin: "Admin", "관리자";
    role_admin_hint: "may do everything", "모든 작업";
    role_operator: "Operator", "운영자";
    role_operator_hint: "manages tokens, and reads the audit log and the legacy report", "토큰 관리, 감사 로그와 레거시 보고서 조회";
    role_auditor: "Auditor", "감사자";
    role_auditor_hint: "reads everything, and changes nothing", "조회만 가능, 변경 불가";
    change_role: "Change role", "역할 변경";
    change_role_of: "Change the role of '{}'", "'{}' 계정의 역할 변경";
    change_role_lead: "The new role applies immediately, including in open sessions.", "새 역할은 로그인된 세션에도 즉시 적용됩니다.";
    demote_last: "The last account with the role Admin keeps it. Give another account that role first.", "관리자 역할을 가진 마지막 계정의 역할은 변경할 수 없습니다. 먼저 다른 계정에 관리자 역할을 부여하세요.";
    badge_legacy_password: "Legacy login", "레거시 로그인";
    hint_legacy_password: "The password was taken over from the legacy server.", "레거시 서버에서 가져온 비밀번호입니다.";
    add_admin: "Add an admin", "관리자 추가";
    added: "Added", "추가일";
    password_changed: "Password changed", "비밀번호 변경일";
    change_password: "Change password", "비밀번호 변경";
    change_password_of: "Change the password of '{}'", "'{}' 계정의 비밀번호 변경";
    change_password_lead: "The old password stops working immediately, and {} is signed out everywhere.", "이전 비밀번호는 즉시 사용할 수 없게 되고, {} 계정은 모든 곳에서 로그아웃됩니다.";
    remove: "Remove", "제거";
    remove_admin: "Remove '{}'?", "'{}' 계정을 제거할까요?";
    remove_lead: "{} loses access immediately and is signed out everywhere.", "{} 계정은 즉시 접근할 수 없게 되고, 모든 곳에서 로그아웃됩니다.";
    remove_last: "The last admin cannot be removed. Give another one the role Admin first.", "마지막 관리자는 제거할 수 없습니다. 먼저 다른 계정에 관리자 역할을 부여하세요.";
    you: "You", "본인";
    new_password: "New password", "새 비밀번호";
    password_again: "Confirm password", "비밀번호 확인";
    password_hint: "At least 8 characters. Use a phrase that is hard to guess.", "8자 이상. 추측하기 어려운 문구를 사용하세요.";
    bad_password: "A password must have 8 to 1,024 bytes and no control characters.", "비밀번호는 8~1,024바이트여야 하며 제어 문자를 포함할 수 없습니다.";
    password_mismatch: "The two passwords differ.", "두 비밀번호가 일치하지 않습니다.";
    admin_exists: "An admin with this name already exists.", "이미 같은 이름의 관리자가 있습니다.";

    audit_lead: "Every change and every refused sign-in, newest first.", "모든 변경과 거부된 로그인을 최신순으로 보여 줍니다.";
    actor: "Actor", "수행자";
    token: "Token", "토큰";
    any: "Any", "전체";
    action: "Event", "이벤트";
    when: "When", "시각";
    ip_address: "IP address", "IP 주소";
    download_csv: "Download CSV", "CSV 다운로드";
    download_json: "Download JSON", "JSON 다운로드";
    no_events: "No events match these filters", "조건에 맞는 이벤트가 없습니다";
    bad_filter: "This filter cannot be used: {}. Correct it, or clear the filters.", "사용할 수 없는 필터입니다: {}. 수정하거나 필터를 초기화하세요.";

    legacy_lead: "Who still calls the legacy API, and whether it can be switched off.", "아직 레거시 API를 호출하는 곳과 레거시 API를 중단해도 되는지 보여 줍니다.";
    verdict_safe: "Safe to switch off", "중단해도 됩니다";
    verdict_in_use: "Still in use", "사용 중입니다";
    verdict_unobserved: "Not observed long enough", "관찰 기간이 아직 부족합니다";
    verdict_not_ready: "Some tokens have no value yet", "아직 값이 없는 토큰이 있습니다";
    verdict_off: "Switched off", "중단되었습니다";
    verdict_never: "No calls on record.", "호출한 기록이 없습니다.";
    verdict_quiet: "No calls in the last 30 days. The last call was {}.", "최근 30일간 호출이 없습니다. 마지막 호출은 {}입니다.";
    verdict_talk: "{} call in the last 30 days, {}. Contact this caller first:|{} calls in the last 30 days, the last one {}. Contact these callers first:", "최근 30일간 {}회 호출되었고 마지막 호출은 {}입니다. 먼저 다음 호출자에게 확인하세요:";
    contact: "{} from {}: {} call, {}|{} from {}: {} calls, the last one {}", "{}({}): {}회 호출, 마지막 호출 {}";
    chart: "Legacy API calls per day, last 30 days", "레거시 API 일별 호출 수(최근 30일)";
    chart_calls: "{} call|{} calls", "{}회";
    chart_summary: "{} in {} days. Busiest day: {}, {}.", "총 {}(최근 {}일), 가장 많은 날은 {}({})입니다.";
    chart_none: "No calls in {} days.", "최근 {}일간 호출이 없습니다.";
    chart_numbers: "Show the numbers", "수치 보기";
    chart_day: "Day", "날짜";
    callers: "Callers", "호출자";
    program: "Program", "프로그램";
    last_seen: "Last seen", "마지막 호출";
    calls_30: "Calls in 30 days", "30일간 호출 수";
    without_value: "Tokens without a value", "값이 없는 토큰";
    without_value_none: "Every token has a value.", "모든 토큰에 값이 있습니다.";
    without_value_all: "Show them all", "모두 보기";
    others: "Other callers", "그 외 호출자";
    unknown_address: "unknown address", "알 수 없는 주소";
    unknown_caller: "Unauthenticated caller", "인증되지 않은 호출자";

    problem: "This request cannot be handled", "처리할 수 없는 요청입니다";
    problem_form: "The page has expired, or the form came from another site. Go back, reload the page, and try again. Cookies must be allowed.", "새로 고친 뒤 다시 시도하세요. 브라우저에서 쿠키를 허용해야 합니다.";
    problem_role: "Your role does not include this. Ask an admin for another role.", "현재 역할로는 이 작업을 할 수 없습니다. 관리자에게 역할 변경을 요청하세요.";
    problem_unavailable: "Try again in a moment.", "잠시 후 다시 시도하세요.";
    problem_unanswered: "Your change may have been saved anyway. Check before you try again.", "변경 사항이 이미 저장되었을 수 있습니다. 확인한 뒤 다시 시도하세요.";
    problem_internal: "See the server log for request {}.", "요청 {}에 대한 자세한 내용은 서버 로그에서 확인하세요.";
    problem_request: "The address or a field of the form is wrong. Go back, and try again.", "주소나 양식의 내용이 올바르지 않습니다. 이전 페이지로 돌아가 다시 시도하세요.";
    problem_method: "This address is for forms only. Go back, and use the form.", "양식을 제출할 때만 사용하는 주소입니다. 이전 페이지의 양식을 사용하세요.";
    problem_too_large: "The form is too large. Go back, and shorten it.", "양식의 내용이 너무 깁니다. 이전 페이지로 돌아가 내용을 줄이세요.";
    problem_too_many: "Too many requests at once. Try again in a moment.", "요청이 너무 많습니다. 잠시 후 다시 시도하세요.";
    server_message: "Message of the server:", "서버 메시지:";

    just_now: "just now", "방금";
    minutes_ago: "{} minute ago|{} minutes ago", "{}분 전";
    hours_ago: "{} hour ago|{} hours ago", "{}시간 전";
    days_ago: "{} day ago|{} days ago", "{}일 전";
    months_ago: "{} month ago|{} months ago", "{}개월 전";
    years_ago: "{} year ago|{} years ago", "{}년 전";
    very_soon: "in less than a minute", "1분 이내";
    in_minutes: "in {} minute|in {} minutes", "{}분 후";
    in_hours: "in {} hour|in {} hours", "{}시간 후";
    in_days: "in {} day|in {} days", "{}일 후";
    in_months: "in {} month|in {} months", "{}개월 후";
    in_years: "in {} year|in {} years", "{}년 후";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translations_have_the_same_placeholders() {
        let placeholders = |text: &str| -> Vec<usize> {
            let mut forms: Vec<_> = text.split('|').map(|form| form.matches("{}").count()).collect();
            forms.dedup();
            forms
        };
        for (name, english, korean) in [
            PAIRS,
            account::PAIRS,
            audit::PAIRS,
            legacy::PAIRS,
            overview::PAIRS,
            token::PAIRS,
        ]
        .concat()
        {
            assert_eq!(placeholders(english), placeholders(korean), "{name}");
            assert!(!english.is_empty() && !korean.is_empty(), "{name}");
        }
    }
}
