//! The texts about admins, and about one's own account.

texts! { AccountTexts:
    account: "Your account", "내 계정";
    own_password: "Your own password", "내 비밀번호";
    own_password_hint: "Confirms that it is you.", "본인 확인을 위해 필요합니다.";
    current_password: "Current password", "현재 비밀번호";
    wrong_password: "Your own password is wrong. Nothing has changed.", "내 비밀번호가 올바르지 않아 변경하지 않았습니다.";
    change_own_lead: "You stay signed in here. Your other sessions end.", "이 브라우저의 로그인은 유지되고 다른 세션은 종료됩니다.";
    done_own_password: "Your password has been changed. Your other sessions have ended.", "비밀번호를 변경했습니다. 다른 세션은 종료되었습니다.";
    sessions: "Sessions", "세션";
    sessions_lead: "Where you are signed in. A session ends after 30 minutes without a request.", "현재 로그인되어 있는 브라우저입니다. 30분 동안 요청이 없으면 세션이 종료됩니다.";
    session_began: "Signed in", "로그인";
    session_seen: "Last request", "마지막 요청";
    this_session: "This session", "현재 세션";
    program_on: "{} on {}", "{} ({})";
    unknown_program: "Unknown program", "알 수 없는 프로그램";
    unknown_address: "Unknown address", "알 수 없는 주소";
    end_others: "Sign out everywhere else", "다른 세션 모두 로그아웃";
    no_others: "You are signed in only here.", "다른 곳에서 로그인된 세션이 없습니다.";
    done_others_ended: "You are signed out everywhere else.", "다른 세션을 모두 로그아웃했습니다.";
    display: "Display", "화면 설정";
    theme: "Theme", "테마";
    theme_system: "Use the system setting", "시스템 설정 사용";
    theme_light: "Light", "밝게";
    theme_dark: "Dark", "어둡게";

    remove_confirm: "Type the name to confirm", "제거하려면 이름을 입력하세요";
    remove_wrong: "That is not the name of this admin.", "관리자 이름이 일치하지 않습니다.";
    remove_calls: "{} legacy call in 30 days by this account, {}. Its calls will be refused.|{} legacy calls in 30 days by this account, the last one {}. Its calls will be refused.", "이 계정의 레거시 호출이 최근 30일간 {}회 있었고 마지막 호출은 {}입니다. 계정을 제거하면 호출이 거부됩니다.";
    remove_no_calls: "No legacy calls in 30 days by this account.", "최근 30일간 이 계정의 레거시 호출이 없습니다.";
    remove_tokens: "{} token was created by this account. It stays.|{} tokens were created by this account. They stay.", "이 계정이 생성한 토큰 {}개는 그대로 유지됩니다.";
    remove_no_tokens: "This account created no token that still exists.", "이 계정이 생성한 토큰은 남아 있지 않습니다.";
    view_calls: "View the callers", "호출자 보기";

    needs_role: "Your role is {}. This page needs the role {}. Ask an admin to change your role.", "현재 역할은 {}이며, 이 페이지에는 {} 역할이 필요합니다. 관리자에게 역할 변경을 요청하세요.";
    or: "{} or {}", "{} 또는 {}";
}
