-- Kinds of appointments for which nobody has decided whether they stay after a death.
SELECT 'kinds', concat_ws(', nobody decided about ', count(*) || ' in use', string_agg(code, ', ' ORDER BY code) FILTER (WHERE post_mortem IS NULL)),
       CASE WHEN bool_or(post_mortem IS NULL) THEN 'say of each whether it stays after a death: UPDATE appointments.kind SET post_mortem = false WHERE code = ''…''' ELSE '' END
FROM kind WHERE code IN (SELECT kind FROM appointment);
