//! The texts of the pages on a token.

texts! { TokenTexts:
    back_to_list: "Back to the list", "목록으로";
    token_id: "ID", "ID";
    copy_id: "Copy ID", "ID 복사";
    expires_never: "Never", "만료 없음";
    no_owner: "No owner", "담당자 없음";
    last_use: "Last use", "마지막 사용";
    last_used_from: "from {}", "접속 주소: {}";
    last_used_via: "via {}", "채널: {}";
    used: "Used {}.", "마지막 사용: {}.";
    used_from: "Used {} from {}.", "마지막 사용: {}, 접속 주소: {}.";
    never_used: "Never used.", "사용 기록이 없습니다.";
    use_by_day: "Use by day", "일별 사용 횟수";
    uses: "{} use|{} uses", "{}회";
    uses_summary: "{} in {} days. Busiest day: {}, {}.", "총 {}(최근 {}일), 가장 많은 날은 {}({})입니다.";
    uses_none: "Not used in the last {} days.", "최근 {}일간 사용되지 않았습니다.";
    uses_column: "Uses", "사용 횟수";
    refused: "Refused uses", "거부된 요청";
    refused_lead: "Requests with a value of this token that were refused in the last 90 days.", "최근 90일간 이 토큰의 값을 사용했지만 거부된 요청입니다.";
    reason: "Reason", "사유";
    reason_disabled: "The token was disabled", "비활성화된 토큰";
    reason_expired: "The token had expired", "만료된 토큰";
    reason_address: "Address outside the allowed networks", "허용되지 않은 주소";
    refused_count: "Refused", "거부 횟수";
    refused_last: "Last time", "마지막 거부";
    earlier_values: "Earlier values", "이전 값";
    earlier_values_lead: "These values were replaced by a rotation and still work until their grace period ends.", "교체(회전)된 값이며 유예 기간이 끝날 때까지 사용할 수 있습니다.";
    fingerprint: "SHA-256 of the value begins with", "값의 SHA-256 앞부분";
    grace_end: "Works until", "유예 종료";
    end_now: "End now", "지금 종료";
    history: "History", "변경 이력";
    history_all: "View the whole history", "전체 이력 보기";
    history_none: "No events on record.", "기록된 이벤트가 없습니다.";
    unknown_actor: "Unauthenticated caller", "인증되지 않은 호출자";
    done_grace_ended: "The earlier value no longer works.", "이전 값은 더 이상 사용할 수 없습니다.";

    deleted: "Deleted", "삭제됨";
    deleted_lead: "This token was deleted {} {}. Its values no longer work.", "{} 삭제된 토큰입니다({}). 값은 더 이상 사용할 수 없습니다.";
    deleted_keeps: "The audit log keeps what is shown here.", "이 내용은 감사 로그에 보관된 기록입니다.";
    last_permissions: "Permissions when it was deleted", "삭제 당시 권한";

    delete_button: "Delete token", "토큰 삭제";
    disable_instead: "To stop its use for now and keep it, disable it instead.", "사용만 중단하고 토큰을 유지하려면 비활성화하세요.";

    preset_none: "None", "없음";
    preset_none_hint: "It can only read and rotate itself.", "자기 자신만 조회하고 교체할 수 있습니다.";
    preset_read: "Read only", "읽기 전용";
    preset_read_hint: "Lists and reads tokens, and passes read requests at the gate.", "토큰을 조회할 수 있고, 게이트에서 읽기 요청이 허용됩니다.";
    preset_change: "Read and change", "읽기 및 변경";
    preset_change_hint: "Also creates, changes, rotates, and deletes tokens.", "토큰 생성, 변경, 교체, 삭제도 할 수 있습니다.";
    preset_custom: "Choose from all {}", "전체 {}개에서 선택";
    select_all: "Select all", "모두 선택";
    select_none: "Clear", "선택 해제";
    selected: "{} selected: {}", "{}개 선택됨: {}";
    selected_none: "None selected", "선택한 권한 없음";

    expiry_days: "{} days", "{}일";
    expiry_at: "On a date", "날짜 지정";
    expiry_never: "Never", "만료 없음";
    expiry_on: "expires", "만료일";
    expiry_field: "Date and time (UTC)", "날짜와 시각(UTC)";
    expiry_field_local: "Date and time ({})", "날짜와 시각({})";
    expiry_utc: "{} UTC", "{} UTC";

    resumed: "Your session had ended, so nothing has been saved. Check the form and send it again.", "세션이 종료되어 저장하지 않았습니다. 내용을 확인한 뒤 다시 제출하세요.";
    held: "What you entered is kept and shown again after you sign in.", "입력한 내용은 보관되며 로그인하면 다시 표시됩니다.";
    conflict: "This token changed while you were editing it. Nothing has been saved yet.", "편집하는 동안 토큰이 변경되었습니다. 아직 저장되지 않았습니다.";
    conflict_by: "Changed {} {}", "{} 변경됨, {}";
    conflict_field: "Field", "항목";
    conflict_theirs: "Saved now", "현재 저장된 값";
    conflict_mine: "Yours", "내가 입력한 값";
    conflict_save: "Save mine", "내 값으로 저장";
    conflict_discard: "Keep the saved version", "저장된 값 유지";
    conflict_hint: "You can also edit the fields below before you save.", "저장하기 전에 아래 항목을 수정할 수도 있습니다.";
}
