# echo: the smallest service.
$(eval $(call static_service,echo,apps/echo/echo.c,apps/echo/echo))
