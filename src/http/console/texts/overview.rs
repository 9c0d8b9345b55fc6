//! The texts of the overview, and of error pages.

texts! { OverviewTexts:
    attention: "Needs attention", "확인이 필요한 항목";
    counted: "Counted {}", "{} 집계";
    counting: "The tokens are being counted. Reload the page in a moment.", "토큰 수를 집계하고 있습니다. 잠시 후 페이지를 새로 고치세요.";
    refusals: "Refused sign-ins in the last 7 days", "최근 7일간 거부된 로그인";
    no_refusals: "No sign-in was refused in the last 7 days.", "최근 7일간 거부된 로그인이 없습니다.";
    all_refusals: "All refused sign-ins", "거부된 로그인 모두 보기";
    times: "{} time|{} times", "{}회";
    unknown_credentials: "Unknown credentials", "알 수 없는 인증 정보";
    admin_named: "Admin {}", "관리자 {}";
    view_report: "View the legacy report", "레거시 보고서 보기";
    have_value: "{} of {} tokens have a value", "값이 있는 토큰 {}개(전체 {}개)";
    calls: "{} legacy call in the last 30 days|{} legacy calls in the last 30 days", "최근 30일간 레거시 호출 {}회";
    no_calls: "No legacy calls in the last 30 days", "최근 30일간 레거시 호출이 없습니다";
    get_started: "Create the first token, or import those of the legacy server with tokenbridge import.", "첫 토큰을 생성하거나 tokenbridge import로 레거시 서버의 토큰을 가져오세요.";

    not_found: "Page not found", "페이지를 찾을 수 없습니다";
    not_found_lead: "The address is wrong, or the item was deleted. The audit log shows who deleted it.", "주소가 잘못되었거나 삭제된 항목입니다. 누가 삭제했는지는 감사 로그에서 확인하세요.";
    not_allowed: "Your role does not include this page", "현재 역할로는 볼 수 없는 페이지입니다";
    expired_form: "The page has expired", "페이지가 만료되었습니다";
    unavailable: "The database is not responding", "데이터베이스가 응답하지 않습니다";
    internal: "Something went wrong", "내부 오류가 발생했습니다";
    back: "Go to the overview", "개요로 이동";
}
