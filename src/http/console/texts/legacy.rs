//! The texts of the legacy report.

texts! { LegacyTexts:
    watched_since: "Watched since {}, on {} of the last {} days.", "{}부터 관찰 중이며, 관찰한 날은 {}일입니다(최근 {}일 중).";
    never_watched: "Not watched yet. A day counts when a server has run for 20 hours of it.", "아직 관찰 기록이 없습니다. 서버가 하루에 20시간 이상 실행된 날만 집계됩니다.";
    timeline: "Timeline", "일정";
    now: "Now", "현재";
    deprecated: "Deprecation announced", "지원 중단 예고";
    brownout: "Brownout until {}", "브라운아웃(일시 중단), {}까지";
    sunset: "Announced end", "예고된 종료";
    no_sunset: "No end is announced. Set --legacy-sunset to announce one.", "예고된 종료 시각이 없습니다. --legacy-sunset으로 설정하세요.";
    earlier_brownouts: "{} earlier brownout|{} earlier brownouts", "이전 브라운아웃 {}회";
    state_on: "On: all requests are served", "사용 중: 모든 요청을 처리합니다";
    state_read_only: "Read-only: changes are refused", "읽기 전용: 변경 요청을 거부합니다";
    state_off: "Off: all requests are refused", "중단됨: 모든 요청을 거부합니다";
    state_brownout: "Closed by a brownout until {}", "브라운아웃(일시 중단): {}까지 모든 요청을 거부합니다";
    callers_lead: "One row per caller, address, and program, the busiest first.", "호출자, 주소, 프로그램별로 집계하며 호출이 많은 순으로 표시합니다.";
    caller: "Caller", "호출자";
    endpoints: "Endpoints", "엔드포인트";
    calls: "Calls", "호출 수";
    events_of: "Events of {}", "{}의 이벤트";
    more_callers: "{} more caller is in the CSV file.|{} more callers are in the CSV file.", "CSV 파일에 호출자가 {}개 더 있습니다.";
    no_callers: "No caller is known.", "알려진 호출자가 없습니다.";
    without_value: "{} token has no value yet. Rotate it before you switch the legacy API off.|{} tokens have no value yet. Rotate them before you switch the legacy API off.", "아직 값이 없는 토큰이 {}개 있습니다. 레거시 API를 중단하기 전에 교체(회전)하세요.";
}
